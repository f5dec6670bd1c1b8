"""Masked pre-training: it learns, it resumes, it can be skipped, and it shows what it fills in."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import ImageBatches, Preprocessing
from stage1.errors import BadData, Interrupted
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import AugmentConfig, OptimiserConfig, PretrainConfig
from stage1.training.pretrain import PretrainedBackbone, pretrain_backbone

CONFIG = PretrainConfig(
    threads=1,
    device="cpu",
    backbone=BackboneConfig(widths=(8, 16)),
    preprocessing=Preprocessing(image_size=16),
    batch_size=16,
    epochs=3,
    mask_patch=4,
    optimiser=OptimiserConfig(learning_rate=0.01),
)


def pretrained(images: ImageBatches, folder: Path, **changed: object) -> PretrainedBackbone:
    return pretrain_backbone(images, CONFIG.model_copy(update=changed), Checkpoints(folder))


def weights_of(result: PretrainedBackbone) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in result.backbone.state_dict().items()}  # type: ignore[attr-defined]


def test_the_loss_falls_and_the_sheet_shows_seen_filled_and_original(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    result = pretrained(images, tmp_path, epochs=8)
    losses = [row["loss"] for row in result.history]
    assert [set(row) for row in result.history] == [{"epoch", "loss", "learning_rate"}] * 8
    assert losses[-1] < 0.9 * losses[0]
    sheet = result.reconstructions
    assert sheet.shape == (3 * 16, 6 * 16, 3)
    shown = images.take(np.linspace(0, 39, 6).astype(np.int64))
    assert np.abs(sheet[32:].astype(int) - np.concatenate(list(shown), axis=1)).max() <= 1, "rounding of a pixel"
    hidden = (sheet[:16].astype(int) - sheet[32:]).any(axis=2)
    assert hidden.mean() == pytest.approx(0.6, abs=0.05)
    assert (sheet[16:32][~hidden] == sheet[32:][~hidden]).all(), "what was seen is not filled in"


def test_no_epochs_leave_the_backbone_as_its_seed_made_it(streets: Any, tmp_path: Path) -> None:
    result = pretrained(streets.batches(0, 40), tmp_path, epochs=0)
    torch.manual_seed(CONFIG.seed)
    expected = build_backbone(CONFIG.backbone, 16)
    assert weights_of(result) == {name: x.numpy().tobytes() for name, x in expected.state_dict().items()}  # type: ignore[attr-defined]
    assert result.history == []


def test_a_seed_decides_and_colours_are_part_of_what_it_draws(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    first = weights_of(pretrained(images, tmp_path / "a"))
    assert weights_of(pretrained(images, tmp_path / "b")) == first
    assert weights_of(pretrained(images, tmp_path / "c", seed=1)) != first
    assert weights_of(pretrained(images, tmp_path / "d", augment=AugmentConfig(colour=0))) != first


def test_stopped_and_started_again_it_ends_the_same(
    streets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = streets.batches(0, 40)
    whole = pretrained(images, tmp_path / "a")

    class Stopping(ImageBatches):
        def take(self, indices: np.ndarray) -> np.ndarray:
            signal.raise_signal(signal.SIGTERM)
            return super().take(indices)

    for _ in range(9):
        with pytest.raises(Interrupted):
            pretrained(streets.batches(0, 40, Stopping), tmp_path / "b")
    again = pretrained(images, tmp_path / "b")
    assert weights_of(again) == weights_of(whole)
    assert again.history == whole.history
    assert np.array_equal(again.reconstructions, whole.reconstructions)


def test_no_images_are_refused(streets: Any, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="training split is empty"):
        pretrained(streets.batches(0, 0), tmp_path, epochs=0)
