"""A data set that trains in seconds, and one finished run of every step on it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stage1.steps.path import walk

OVERRIDES = (
    "pretrain.preprocessing.image_size=16",
    "pretrain.backbone.widths=[8, 16]",
    "pretrain.epochs=1",
    "pretrain.mask_patch=4",
    "pretrain.threads=1",
    "train.threads=1",
    "train.batch_size=32",
    "train.phases=[{loss: ce, epochs: 3}, {loss: selective, epochs: 1}]",
    "train.ema_decay=0.8",
    "evaluate.num_resamples=200",
)
"""Small enough for seconds; the task below is easy enough to be certified all the same."""


def draw_task(folder: Path, *, groups: int = 150, frames: int = 16, seed: int = 0, shuffled: bool = False) -> Path:
    """Write 16-pixel noise pictures, positives with an orange square, in groups, and their sheet; return the sheet."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["path,label,group,source"]
    labels = rng.random((groups, frames)) < 0.5
    shown = rng.permuted(labels.ravel()).reshape(labels.shape) if shuffled else labels
    for group in range(groups):
        for frame in range(frames):
            pixels = rng.integers(0, 160, (16, 16, 3), dtype=np.uint8)
            if labels[group, frame]:
                top, left = rng.integers(0, 9, 2)
                pixels[top : top + 7, left : left + 7] = (255, 120, 0)
            name = f"{group}-{frame}.png"
            Image.fromarray(pixels).save(folder / name, compress_level=1)
            lines.append(f"{name},{int(shown[group, frame])},drive{group},{'day' if group % 2 else 'night'}")
    sheet = folder / "labels.csv"
    sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sheet


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sheet of an easy task: 2,400 pictures in 150 groups."""
    return draw_task(tmp_path_factory.mktemp("task") / "images")


@pytest.fixture(scope="session")
def walked(task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of every step of one promoted run; read-only by agreement."""
    out = tmp_path_factory.mktemp("walked")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STAGE1_CACHE", raising=False)
        patch.delenv("STAGE1_EVENTS", raising=False)
        return walk(
            str(task),
            out / "steps",
            preset="demo",
            overrides=[*OVERRIDES, f"store={out / 'store'}", f"tracking.uri=sqlite:///{out / 'mlflow.db'}"],
        )
