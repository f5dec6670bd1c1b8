"""Two real processes over gloo: the numbers of one, errors told once, and a stop that all of them make together."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import ImageBatches, Manifest, Preprocessing, SplitConfig, make_split
from stage1.data.packing import pack
from stage1.errors import BadConfig, BadData, Interrupted, Stage1Error
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import (
    CheckpointConfig,
    OptimiserConfig,
    PhaseConfig,
    PretrainConfig,
    RiskConfig,
    TrainConfig,
)
from stage1.training.launching import Nodes, launch
from stage1.training.pretrain import pretrain_backbone
from stage1.training.processes import Processes
from stage1.training.supervised import LabelledImages, train_classifier

CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=32,
    phases=(
        PhaseConfig(loss="ce", epochs=1),
        PhaseConfig(loss="selective", epochs=1),
        PhaseConfig(loss="crc", epochs=1),
    ),
    risk=RiskConfig(alpha=0.2),
    ema_decay=0.7,
    optimiser=OptimiserConfig(kind="fsam", learning_rate=0.005),
)


@pytest.fixture(scope="module")
def manifest(streets: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    split, _ = make_split(
        streets.rows.roots[0],
        SplitConfig(fractions={"train": 0.7, "val_select": 0.2, "val_calib": 0.05, "val_test": 0.05}),
    )
    split.write(folder / "manifest.parquet")
    return folder / "manifest.parquet"


def labelled(manifest: Path, split: str, shards: str = "") -> LabelledImages:
    rows = Manifest.read(manifest).rows(split, allowed=("train", "val_select"))
    return LabelledImages(ImageBatches(rows, Preprocessing(image_size=16), 64, 1, shards=shards), rows.labels)


def trained(manifest: Path, folder: Path, config: TrainConfig, shards: str, processes: Processes) -> dict[str, Any]:
    """What every process ends with; run here, and by `launch` in processes of its own."""
    torch.manual_seed(processes.rank)  # the first one's initial weights are everybody's
    result = train_classifier(
        build_backbone(BackboneConfig(widths=(8, 16)), 16),
        labelled(manifest, "train", shards),
        labelled(manifest, "val_select", shards),
        config,
        Checkpoints(folder),
        processes=processes,
    )
    state = {name: tensor.double().numpy() for name, tensor in result.model.state_dict().items()}
    np.savez(folder / f"rank-{processes.rank}.npz", **state)
    return {"rows": result.history, "best": result.best_epoch}


def weights(folder: Path, rank: int = 0) -> dict[str, np.ndarray]:
    with np.load(folder / f"rank-{rank}.npz") as file:
        return dict(file)


def close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.allclose(one[name], other[name], rtol=1e-3, atol=2e-5) for name in one)


def test_two_processes_train_as_one_does(manifest: Path, tmp_path: Path) -> None:
    """Cross-entropy, SelectiveNet and conformal risk under F-SAM: sums in another order, and nothing else."""
    (tmp_path / "one").mkdir()
    one = trained(manifest, tmp_path / "one", CONFIG, "", Processes())
    two = launch(trained, (manifest, tmp_path / "two", CONFIG, ""), 2, device="cpu")
    assert [row["phase"] for row in two["rows"]] == ["ce", "selective", "crc"]
    for mine, theirs in zip(one["rows"], two["rows"], strict=True):
        for name, value in mine.items():
            expected = value if isinstance(value, str | bool) else pytest.approx(value, rel=1e-3, abs=1e-5)
            assert theirs[name] == expected, name
    assert close(weights(tmp_path / "one"), weights(tmp_path / "two"))
    same = weights(tmp_path / "two", 1)
    assert all(value.tobytes() == same[name].tobytes() for name, value in weights(tmp_path / "two").items())


def pretrained(manifest: Path, folder: Path, config: PretrainConfig, processes: Processes) -> list[float]:
    images = labelled(manifest, "train").images
    return [row["loss"] for row in pretrain_backbone(images, config, Checkpoints(folder), processes=processes).history]


def test_two_processes_fill_in_as_one_does(manifest: Path, tmp_path: Path) -> None:
    backbone, preprocessing = BackboneConfig(widths=(8, 16)), Preprocessing(image_size=16)
    config = PretrainConfig(threads=1, device="cpu", batch_size=32, backbone=backbone, preprocessing=preprocessing)
    one = pretrained(manifest, tmp_path / "one", config, Processes())
    two = launch(pretrained, (manifest, tmp_path / "two", config), 2, device="cpu")
    assert two == pytest.approx(one, rel=1e-4)


def test_from_shards_two_processes_see_every_image_once(manifest: Path, tmp_path: Path) -> None:
    pack(Manifest.read(manifest), str(tmp_path / "shards"), megapixels=12 * 256 / 1e6)
    config = CONFIG.model_copy(update={"phases": (PhaseConfig(loss="ce", epochs=2),), "memory_limit_mb": 0})
    two = launch(trained, (manifest, tmp_path / "two", config, str(tmp_path / "shards")), 2, device="cpu")
    assert [row["epoch"] for row in two["rows"]] == [1, 2]
    same = weights(tmp_path / "two", 1)
    assert all(value.tobytes() == same[name].tobytes() for name, value in weights(tmp_path / "two").items())


def failing(kind: str, processes: Processes) -> None:
    if processes.rank == 1:
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise BadData("image 7 is no image") if kind == "ours" else ZeroDivisionError("nobody expected it")
    processes.sum(torch.ones(1))  # waits for the other one


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("ours", BadData, "^image 7 is no image$"),
        ("another's", ZeroDivisionError, "^nobody expected it$"),
        ("killed", Stage1Error, "ended without a word: the system may have killed it for lack of memory"),
    ],
)
def test_an_error_in_one_of_them_is_the_callers_and_ends_all(kind: str, error: type[Exception], words: str) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=words):
        launch(failing, (kind,), 2, device="cpu")
    assert time.monotonic() - started < 60


def short(_folder: Path, processes: Processes) -> tuple[int, int, float]:
    total = processes.sum(torch.tensor([processes.rank + 1.0])).item()
    return processes.rank, processes.count, total


def test_one_process_is_a_plain_call_and_several_return_what_the_first_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launch(short, (tmp_path,), 1, device="cpu") == (0, 1, 1.0)
    assert launch(short, (tmp_path,), 3, device="cpu") == (0, 3, 6.0)
    assert launch(short, (tmp_path,), 2, device="auto") == (0, 2, 3.0)


def test_more_processes_than_gpus_are_refused() -> None:
    from stage1.training.device import prepare_device

    config = TrainConfig(device="auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(BadConfig, match="2 need a GPU each and this machine has 1; use 1"):
            prepare_device(config, Processes(1, 2, 1))


SCRIPT = """
import sys
from pathlib import Path
from stage1.errors import Stage1Error
from stage1.training.launching import launch
from tests.training.test_processes import long_config, trained

if __name__ == "__main__":
    try:
        launch(trained, (Path(sys.argv[1]), Path(sys.argv[2]), long_config(), ""), 2, device="cpu")
    except Stage1Error as error:
        print(error)
        sys.exit(error.exit_code)
"""


def long_config() -> TrainConfig:
    phases = (PhaseConfig(loss="ce", epochs=100_000),)
    return CONFIG.model_copy(update={"phases": phases, "checkpoint": CheckpointConfig(every_steps=1)})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_all", [False, True])
def test_a_signal_stops_all_of_them_at_one_step_with_a_checkpoint(
    manifest: Path, tmp_path: Path, said: Path, number: int, to_all: bool
) -> None:
    """To the parent alone, or to the whole group as a terminal does: then the others hear of it twice."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(manifest), str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        patience = time.monotonic() + 120
        while not (said.exists() and '"unit": "step"' in said.read_text()) and time.monotonic() < patience:
            time.sleep(0.05)
        asked = time.monotonic()
        (os.killpg if to_all else os.kill)(process.pid, number)
        output, _ = process.communicate(timeout=60)
        waited = time.monotonic() - asked
    assert process.returncode == 128 + number, output
    assert "the same command goes on from there" in output
    assert waited < 10
    state = Checkpoints(tmp_path / "run").newest()
    assert state is not None
    steps = [json.loads(line) for line in said.read_text().splitlines() if '"unit": "step"' in line]
    assert steps, "the first process alone tells"
    assert len({event["done"] for event in steps}) == len(steps)


def test_without_their_parent_they_end_with_a_checkpoint(manifest: Path, tmp_path: Path, said: Path) -> None:
    """Killed by the system, it can tell them nothing; they would train on for ever."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(manifest), str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        patience = time.monotonic() + 120
        while not (said.exists() and '"unit": "step"' in said.read_text()) and time.monotonic() < patience:
            time.sleep(0.05)
        process.kill()
    patience = time.monotonic() + 30
    while _alive(process.pid) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not _alive(process.pid)
    assert Checkpoints(tmp_path / "run").newest() is not None


def _alive(session: int) -> bool:
    """Whether any process of the session is left."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                return True
    return False


def test_an_interruption_travels_with_its_exit_code() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(Interrupted("stopped", 15))).exit_code == 143


@pytest.mark.parametrize(
    "given",
    [
        {"NNODES": "1:4", "NODE_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "29400"},
        {"NNODES": "2", "NODE_RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "29400"},
        {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "", "MASTER_PORT": "29400"},
        {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "0"},
        {"NNODES": "2"},
    ],
)
def test_variables_that_describe_no_node_are_refused(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"PET_{name}", value)
    with pytest.raises(BadConfig, match="several nodes need PET_NNODES"):
        launch(short, (Path(),), 1, device="cpu")


def test_variables_of_one_node_or_none_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Nodes.from_environment() == Nodes()
    monkeypatch.setenv("PET_NNODES", "1")
    assert Nodes.from_environment() == Nodes()
