"""A run that is stopped anywhere and started again ends as one that was not stopped: same bytes, same history.

Signals are real: a data set that raises them while it is read stops the loop in the step of its choice. Dropout,
augmentation and averaged weights are on, so everything random and everything kept takes part.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import ImageBatches
from stage1.errors import Interrupted, StorageError
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.model.files import Description, save_model
from stage1.training import loop
from stage1.training.batches import Sampler
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import CheckpointConfig, LoopConfig, OptimiserConfig, PhaseConfig, TrainConfig
from stage1.training.device import Place
from stage1.training.supervised import LabelledImages, TrainedModel, train_classifier
from tests.training.conftest import Plain

BACKBONE = BackboneConfig(widths=(8, 16))
CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=16,
    phases=(PhaseConfig(loss="ce", epochs=2), PhaseConfig(loss="selective", epochs=1)),
    dropout=0.3,
    ema_decay=0.7,
    optimiser=OptimiserConfig(learning_rate=0.01, backbone_scale=0.5),
)
OFTEN = CONFIG.model_copy(update={"checkpoint": CheckpointConfig(every_steps=1)})
STEPS, BATCHES_OF_SELECT = 9, 2
"""48 images in batches of 16 for three epochs; val_select is scored in two batches after each."""


class Crash(Exception):
    """The process dies here without warning."""


class Disturbed(ImageBatches):
    """Images that do something when the batch of the given number (from 1, over all epochs) is read."""

    at = 0
    action: Any = None
    batches_read = 0

    def batches(self, indices_of_batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in super().batches(indices_of_batches):
            self.batches_read += 1
            if self.batches_read == self.at:
                self.action()
            yield batch


def send(number: int) -> Any:
    return lambda: signal.raise_signal(number)


def crash() -> None:
    raise Crash


def run(
    streets: Any,
    folder: Path,
    *,
    at: int = 0,
    select_at: int = 0,
    action: Any = send(signal.SIGTERM),
    config: TrainConfig = CONFIG,
) -> TrainedModel:
    torch.manual_seed(0)
    train, select = streets.batches(0, 48, Disturbed), streets.batches(48, 80, Disturbed)
    train.at, train.action = at, action
    select.at, select.action = select_at, action
    return train_classifier(
        build_backbone(BACKBONE, 16),
        LabelledImages(train, streets.labels_N[:48]),
        LabelledImages(select, streets.labels_N[48:80]),
        config,
        Checkpoints(folder),
    )


def told(result: TrainedModel, folder: Path) -> tuple[bytes, str, int]:
    """All that a step keeps: the bytes of the weights file, the history, the kept epoch."""
    folder.mkdir(exist_ok=True)
    save_model(folder, result.model, Description(BACKBONE, 16, {}))
    return (folder / "model.safetensors").read_bytes(), json.dumps(result.history), result.best_epoch


@pytest.fixture(scope="module")
def undisturbed(streets: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str, int]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return told(run(streets, folder / "run"), folder)


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_in_any_step_the_same_call_goes_on(
    streets: Any, tmp_path: Path, undisturbed: tuple[bytes, str, int], step: int
) -> None:
    """Steps 3, 6 and 9 are the last of their epochs."""
    with pytest.raises(Interrupted, match=f"by signal 15 at step {step} of {STEPS}") as stopped:
        run(streets, tmp_path, at=step)
    assert stopped.value.exit_code == 143
    assert told(run(streets, tmp_path), tmp_path / "out") == undisturbed


@pytest.mark.parametrize("batch", range(1, 3 * BATCHES_OF_SELECT + 1))
def test_stopped_while_an_epoch_is_judged_the_same_call_goes_on(
    streets: Any, tmp_path: Path, undisturbed: tuple[bytes, str, int], batch: int
) -> None:
    """The last of them is the end of the run: even there a signal is not lost."""
    step = 3 * -(-batch // BATCHES_OF_SELECT)
    with pytest.raises(Interrupted, match=f"by signal 2 at step {step} of {STEPS}") as stopped:
        run(streets, tmp_path, select_at=batch, action=send(signal.SIGINT))
    assert stopped.value.exit_code == 130
    assert told(run(streets, tmp_path), tmp_path / "out") == undisturbed


@pytest.mark.parametrize("epoch", [1, 2])
def test_stopped_at_the_end_of_an_epoch_its_row_is_kept_and_not_made_again(
    streets: Any, tmp_path: Path, epoch: int
) -> None:
    """The second is the last: whoever asked to stop is told so, and finds the work done."""
    made: list[int] = []

    def after_epoch(number: int, _loss: float) -> dict[str, Any]:
        made.append(number + 1)
        if len(made) == epoch:
            signal.raise_signal(signal.SIGTERM)
        return {"made": True}

    def going(folder: Path) -> list[dict[str, Any]]:
        network = torch.nn.Linear(1, 1)
        config = LoopConfig(threads=1, batch_size=16)
        sampler = Sampler(streets.batches(0, 48), 16, seed=0)
        place = Place(torch.device("cpu"))
        running = loop.Loop(network, sampler, config, epochs=2, checkpoints=Checkpoints(folder), place=place)
        return running.run(Plain(lambda *_: network.weight.square().sum()), after_epoch).rows

    with pytest.raises(Interrupted, match=f"by signal 15 at step {3 * epoch} of 6"):
        going(tmp_path)
    assert [row["epoch"] for row in going(tmp_path)] == [1, 2]
    assert made == [1, 2]


def test_stopped_after_every_step_it_still_ends_the_same(
    streets: Any, tmp_path: Path, undisturbed: tuple[bytes, str, int]
) -> None:
    for _ in range(STEPS):
        with pytest.raises(Interrupted):
            run(streets, tmp_path, at=1)
    assert told(run(streets, tmp_path), tmp_path / "out") == undisturbed


@pytest.mark.parametrize("damage", ["none", "truncated", "flipped", "empty"])
def test_after_a_crash_the_newest_whole_checkpoint_is_enough(
    streets: Any,
    tmp_path: Path,
    undisturbed: tuple[bytes, str, int],
    said: Path,
    damage: str,
) -> None:
    with pytest.raises(Crash):
        run(streets, tmp_path / "run", at=6, action=crash, config=OFTEN)
    newest = max((tmp_path / "run").iterdir())
    data = bytearray(newest.read_bytes())
    data[-100] ^= 255
    changed = {"none": newest.read_bytes(), "truncated": bytes(data[:-9]), "flipped": bytes(data), "empty": b""}
    newest.write_bytes(changed[damage])
    said.unlink(missing_ok=True)
    assert told(run(streets, tmp_path / "run"), tmp_path / "out") == undisturbed
    notes = [
        event["message"] for line in said.read_text().splitlines() if (event := json.loads(line))["kind"] == "note"
    ]
    expected = [] if damage == "none" else [f"checkpoint {newest.name} is damaged; falling back to the one before it"]
    assert notes == [*expected, f"going on from step {5 if damage == 'none' else 4} of {STEPS}"]


def test_a_second_signal_does_not_wait(streets: Any, tmp_path: Path) -> None:
    """As without us: Ctrl-C twice is KeyboardInterrupt."""

    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(streets, tmp_path, at=2, action=twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    streets: Any, tmp_path: Path, undisturbed: tuple[bytes, str, int]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "writing.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        run(streets, folder, at=2)
    assert list(folder.iterdir()) == []
    assert told(run(streets, folder), tmp_path / "out") == undisturbed


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from stage1.errors import Stage1Error
from stage1.data import Manifest, ImageBatches, Preprocessing, SPLITS
from stage1.training.batches import Sampler
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import LoopConfig
from stage1.training.device import prepare_device
from stage1.training.loop import Loop
from stage1.model.convnet import ConvNet
from stage1.model.classifier import Normalise
from tests.training.conftest import Plain

manifest, folder = Path(sys.argv[1]), Path(sys.argv[2])
config = LoopConfig(threads=1, device="cpu", batch_size=8)
place = prepare_device(config)
rows = Manifest.read(manifest).rows(*SPLITS, allowed=SPLITS)
images = ImageBatches(rows, Preprocessing(image_size=16), 64, num_threads=1)
network, normalise = ConvNet((8, 16)), Normalise()
loop = Loop(network, Sampler(images, 8, 0), config, epochs=100_000, checkpoints=Checkpoints(folder), place=place)
try:
    loop.run(Plain(lambda images, _: network.forward_map(normalise(images)).square().mean()), lambda *_: {})
except Stage1Error as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_real_process_leaves_a_checkpoint_and_ends_it_soon(
    streets: Any, tmp_path: Path, said: Path, number: int
) -> None:
    from stage1.data import SplitConfig, make_split

    manifest, _ = make_split(streets.rows.roots[0], SplitConfig())
    manifest.write(tmp_path / "manifest.parquet")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "manifest.parquet"), str(tmp_path / "run")]
    with subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        patience = time.monotonic() + 120
        while not (said.exists() and '"unit": "step"' in said.read_text()) and time.monotonic() < patience:
            time.sleep(0.05)
        asked = time.monotonic()
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        waited = time.monotonic() - asked
    assert process.returncode == 128 + number, output
    assert "the same command goes on from there" in output
    assert waited < 10
    state = Checkpoints(tmp_path / "run").newest()
    assert state is not None
    assert f"at step {state['progress']['epoch'] * 12 + state['progress']['step']} of" in output


def test_killed_anywhere_and_started_again_it_ends_with_the_same_bytes(streets: Any, tmp_path: Path) -> None:
    """SIGKILL in every pass of every step and at five moments of every checkpoint: N of N; see killing.py."""
    from stage1.data import SplitConfig, make_split
    from tests.training.killing import PASSES, SAVES

    manifest, _ = make_split(streets.rows.roots[0], SplitConfig())
    manifest.write(tmp_path / "manifest.parquet")
    command = [sys.executable, "-m", "tests.training.killing", str(tmp_path / "manifest.parquet"), str(tmp_path)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == PASSES + 5 * SAVES == 52
    assert [place for place in found if not (place["killed"] and place["same"])] == []
