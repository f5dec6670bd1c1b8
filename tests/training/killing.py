"""Kill a short training run with SIGKILL wherever it can be killed, start it again, and compare what it ends with.

    python -m tests.training.killing MANIFEST FOLDER

Prints a line of JSON for every place. Run as a script of its own, because it forks before torch has any threads.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_optimizer  # noqa: F401  once, and not in every fork

from stage1.data import SPLITS, ImageBatches, Manifest, Preprocessing, Rows
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training import checkpoint
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import CheckpointConfig, OptimiserConfig, PhaseConfig, TrainConfig
from stage1.training.gradients import Gradients
from stage1.training.supervised import LabelledImages, train_classifier

STEPS, EPOCHS = 6, 2
PASSES = 2 * STEPS
SAVES = STEPS + EPOCHS
CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=16,
    part_size=6,
    phases=(PhaseConfig(loss="ce", epochs=1), PhaseConfig(loss="selective", epochs=1)),
    dropout=0.3,
    ema_decay=0.7,
    optimiser=OptimiserConfig(kind="fsam", learning_rate=0.01),
    checkpoint=CheckpointConfig(every_steps=1),
)


def train(manifest: Path, folder: Path) -> str:
    """Augmentation, dropout, averaged weights, F-SAM, parts of batches, and threads that decode ahead; a digest."""
    rows = Manifest.read(manifest).rows(*SPLITS, allowed=SPLITS)

    def part(start: int, stop: int) -> LabelledImages:
        some = Rows(rows.table.slice(start, stop - start), rows.roots)
        return LabelledImages(ImageBatches(some, Preprocessing(image_size=16), 0, num_threads=2), some.labels)

    import torch

    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(widths=(8, 16)), 16)
    result = train_classifier(backbone, part(0, 48), part(48, 80), CONFIG, Checkpoints(folder))
    state = b"".join(tensor.numpy().tobytes() for tensor in result.model.state_dict().values())
    return hashlib.sha256(state + json.dumps(result.history).encode()).hexdigest()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_in(owner: Any, name: str, number: int, *, after: bool = False) -> None:
    """Die in the call of this number, from 1, of owner.name."""
    inner: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counted(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number and not after:
            die()
        result = inner(*arguments, **options)
        if calls[0] == number:
            die()
        return result

    setattr(owner, name, counted)


def half_written(number: int) -> None:
    """Die with half of the bytes of a checkpoint in its file."""
    opened = [0]
    inner = Path.open

    def opening(path: Path, *arguments: Any, **options: Any) -> Any:
        stream = inner(path, *arguments, **options)
        if path.name == "writing.tmp":
            opened[0] += 1
            if opened[0] == number:
                stream.write(b"half a state" * 1000)
                stream.flush()
                die()
        return stream

    Path.open = opening  # type: ignore[method-assign]


def places() -> dict[str, Callable[[], None]]:
    """Every pass over a batch, and five moments of every checkpoint."""
    found: dict[str, Callable[[], None]] = {}
    for number in range(1, PASSES + 1):
        found[f"pass {number}"] = lambda n=number: kill_in(Gradients, "compute", n)
    for number in range(1, SAVES + 1):
        found[f"checkpoint {number}, before it"] = lambda n=number: kill_in(checkpoint, "_digest", n)
        found[f"checkpoint {number}, half written"] = lambda n=number: half_written(n)
        found[f"checkpoint {number}, not yet on disk"] = lambda n=number: kill_in(os, "fsync", n)
        found[f"checkpoint {number}, not yet named"] = lambda n=number: kill_in(Path, "replace", n)
        found[f"checkpoint {number}, just named"] = lambda n=number: kill_in(Path, "replace", n, after=True)
    return found


def in_child(work: Callable[[], str], answer: Path) -> int:
    """Run work in a fork that writes what it returns; the fork's wait status."""
    child = os.fork()
    if not child:
        try:
            answer.write_text(work())
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def main() -> None:
    manifest, folder = Path(sys.argv[1]), Path(sys.argv[2])
    in_child(lambda: train(manifest, folder / "whole"), folder / "expected")
    expected = (folder / "expected").read_text()
    for number, (place, arrange) in enumerate(places().items()):
        run, answer = folder / str(number), folder / f"{number}.txt"

        def killed(arrange: Callable[[], None] = arrange, run: Path = run) -> str:
            arrange()
            return train(manifest, run)

        status = in_child(killed, answer)
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not answer.exists()
        again = in_child(lambda run=run: train(manifest, run), answer)
        same = again == 0 and answer.read_text() == expected
        print(json.dumps({"place": place, "killed": was_killed, "same": same}), flush=True)


if __name__ == "__main__":
    main()
