"""A tiny data set of real files, and what is trained on it; one thread, because two gain nothing here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stage1.data import SPLITS, ImageBatches, Preprocessing, Rows, SplitConfig, make_split

NUM_IMAGES = 96


@dataclass(frozen=True)
class Plain:
    """An objective of one function, whatever the images: function(images_bHW3, one uniform number an image) -> loss."""

    function: Callable[[Tensor, Tensor], Tensor]
    whole_batch: bool = False

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        return torch.rand(count, generator=generator)

    def forward(self, images_bHW3: Tensor, drawn: Tensor) -> tuple[Tensor, ...]:
        return (self.function(images_bHW3, drawn),)

    def loss(self, outputs: tuple[Tensor, ...], rows_b: NDArray[np.int64]) -> Tensor:
        return outputs[0]

    def __call__(self, _epoch: int) -> "Plain":
        """The objective of any epoch."""
        return self


@dataclass(frozen=True)
class Streets:
    """Pictures of 16 pixels with their labels (N); `batches` decodes any of them."""

    rows: Rows

    @property
    def labels_N(self) -> NDArray[np.int8]:
        return self.rows.labels

    def batches(self, start: int, stop: int, kind: type[ImageBatches] = ImageBatches) -> ImageBatches:
        part = Rows(self.rows.table.slice(start, stop - start), self.rows.roots)
        return kind(part, Preprocessing(image_size=16), 64, num_threads=1)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Streets:
    """Noise; every other picture has an orange square in it, which half of the time is all but transparent."""
    root = tmp_path_factory.mktemp("streets")
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        pixels = rng.integers(0, 200, (16, 16, 3)).astype(np.float64)
        if number % 2:
            top, left = rng.integers(0, 10, 2)
            share = rng.choice([0.9, 0.1])
            pixels[top : top + 6, left : left + 6] *= 1 - share
            pixels[top : top + 6, left : left + 6] += share * np.array([255, 120, 0])
        folder = root / ("roadwork" if number % 2 else "clear")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    manifest, _ = make_split(str(root), SplitConfig())
    rows = manifest.rows(*SPLITS, allowed=SPLITS)
    mixed = np.random.default_rng(1).permutation(len(rows))
    return Streets(Rows(rows.table.take(mixed), rows.roots))


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of events; whoever is watched writes to it."""
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("STAGE1_EVENTS", str(path))
    return path
