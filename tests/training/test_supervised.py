"""Supervised training: the kept epoch, reproducibility, and what cannot be trained."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.errors import BadConfig, BadData
from stage1.metrics import augrc, auroc
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import OptimiserConfig, PhaseConfig, RiskConfig, TrainConfig
from stage1.training.scoring import Scores, score
from stage1.training.supervised import LabelledImages, TrainedModel, train_classifier

CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=16,
    phases=(PhaseConfig(loss="ce", epochs=4), PhaseConfig(loss="selective", epochs=2)),
    dropout=0.2,
    ema_decay=0.6,
    optimiser=OptimiserConfig(learning_rate=0.02),
)


def trained(streets: Any, folder: Path, **changed: object) -> TrainedModel:
    torch.manual_seed(2)
    return train_classifier(
        build_backbone(BackboneConfig(widths=(8, 16)), 16),
        LabelledImages(streets.batches(0, 60), streets.labels_N[:60]),
        LabelledImages(streets.batches(60, 96), streets.labels_N[60:96]),
        CONFIG.model_copy(update=changed),
        Checkpoints(folder),
    )


def weights_of(result: TrainedModel) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in result.model.state_dict().items()}


@pytest.fixture(scope="module")
def result(streets: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return trained(streets, tmp_path_factory.mktemp("run"))


def test_the_history_has_a_row_an_epoch_with_its_phase(result: TrainedModel) -> None:
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5, 6]
    assert [row["phase"] for row in result.history] == ["ce"] * 4 + ["selective"] * 2
    names = {"epoch", "phase", "loss", "learning_rate", "val_augrc", "val_accuracy", "val_auroc"}
    names |= {"val_gate_augrc", "val_accepted", "gate_collapsed"}
    assert all(set(row) == names for row in result.history)
    assert all(math.isfinite(value) for row in result.history for value in row.values() if not isinstance(value, str))


def test_the_epoch_with_the_lowest_augrc_is_kept_with_its_weights(result: TrainedModel, streets: Any) -> None:
    best = result.history[result.best_epoch - 1]
    assert best["val_augrc"] == min(row["val_augrc"] for row in result.history)
    assert best["val_augrc"] < result.history[-1]["val_augrc"], "the last epoch would be no test of keeping"
    assert not result.model.training
    scores = score(result.model, streets.batches(60, 96), 16)
    labels = streets.labels_N[60:96]
    wrong = (scores.margin_N >= 0) != (labels == 1)
    assert augrc(np.abs(scores.margin_N), wrong) == best["val_augrc"]
    assert auroc(scores.margin_N, labels) == best["val_auroc"]
    assert 1 - wrong.mean() == best["val_accuracy"]


def test_of_equal_epochs_the_last_is_kept(streets: Any, tmp_path: Path) -> None:
    """A learning rate of nothing ranks alike in every epoch."""
    still = trained(streets, tmp_path, optimiser=OptimiserConfig(learning_rate=1e-12))
    assert len({row["val_augrc"] for row in still.history}) == 1
    assert still.best_epoch == 6


def test_the_kept_weights_are_the_averaged_ones(streets: Any, tmp_path: Path) -> None:
    """Averaging changes what is kept and not how it is trained."""
    phases = (PhaseConfig(loss="ce", epochs=1),)
    averaged = trained(streets, tmp_path / "a", phases=phases, ema_decay=0.9)
    plain = trained(streets, tmp_path / "b", phases=phases, ema_decay=0.0)
    assert averaged.history[0]["loss"] == plain.history[0]["loss"]
    assert weights_of(averaged)["cls.weight"] != weights_of(plain)["cls.weight"]


def test_training_learns_what_there_is_to_learn(streets: Any, tmp_path: Path) -> None:
    result = trained(streets, tmp_path, phases=(PhaseConfig(loss="ce", epochs=25),), dropout=0.0)
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert max(row["val_auroc"] for row in result.history) > 0.75


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    result: TrainedModel, streets: Any, tmp_path: Path
) -> None:
    again = trained(streets, tmp_path / "a")
    assert weights_of(again) == weights_of(result)
    assert again.history == result.history
    other = trained(streets, tmp_path / "b", seed=1)
    assert weights_of(other)["cls.weight"] != weights_of(result)["cls.weight"]


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_that_is_missing_from_train_is_refused(streets: Any, tmp_path: Path, label: int) -> None:
    images = LabelledImages(streets.batches(0, 10), np.full(10, label, np.int8))
    with pytest.raises(BadData, match=rf"has {10 * label} positives among 10 images; both classes are needed"):
        train_classifier(build_backbone(BackboneConfig(), 16), images, images, CONFIG, Checkpoints(tmp_path))


def test_an_empty_val_select_is_refused_before_the_first_step(streets: Any, tmp_path: Path, said: Path) -> None:
    train = LabelledImages(streets.batches(0, 60), streets.labels_N[:60])
    none = LabelledImages(streets.batches(0, 0), streets.labels_N[:0])
    said.unlink(missing_ok=True)
    with pytest.raises(BadData, match="val_select is empty"):
        train_classifier(build_backbone(BackboneConfig(), 16), train, none, CONFIG, Checkpoints(tmp_path))
    assert not said.exists()


def test_one_class_in_val_select_has_no_auroc_and_trains_all_the_same(streets: Any, tmp_path: Path) -> None:
    labels = streets.labels_N
    clear = int(np.flatnonzero(labels == 0)[0])
    result = train_classifier(
        build_backbone(BackboneConfig(widths=(8, 16)), 16),
        LabelledImages(streets.batches(0, 60), labels[:60]),
        LabelledImages(streets.batches(clear, clear + 1), labels[clear : clear + 1]),
        CONFIG,
        Checkpoints(tmp_path),
    )
    assert [row["val_auroc"] for row in result.history] == [None] * 6


def test_scores_are_the_heads_of_every_image_in_order(result: TrainedModel, streets: Any, said: Path) -> None:
    images = streets.batches(0, 50)
    said.unlink(missing_ok=True)
    calls: list[None] = []
    found = score(result.model, images, 16, report=True, after_batch=lambda: calls.append(None))
    with torch.no_grad():
        expected = result.model(result.model.normalise(torch.from_numpy(images.take(np.arange(50)))))
    assert np.allclose(found.logits_N2, expected.logits_N2.numpy(), atol=1e-5)
    assert np.allclose(found.gate_N, expected.gate_N.numpy(), atol=1e-5)
    assert len(calls) == 4
    assert '"done": 50, "total": 50, "unit": "image"' in said.read_text().splitlines()[-1]


def test_a_margin_does_not_lose_what_float32_has() -> None:
    scores = Scores(np.array([[1e8, 1e8 + 8], [-1.0, 0.25]], np.float32), np.zeros(2, np.float32))
    assert scores.margin_N.tolist() == [8.0, 1.25]
    assert scores.margin_N.dtype == np.float64


def test_conformal_risk_training_goes_on_from_cross_entropy(streets: Any, tmp_path: Path) -> None:
    phases = (PhaseConfig(loss="ce", epochs=2), PhaseConfig(loss="crc", epochs=2))
    result = trained(streets, tmp_path, phases=phases, batch_size=30, risk=RiskConfig(alpha=0.25))
    assert [row["phase"] for row in result.history] == ["ce", "ce", "crc", "crc"]
    assert all(math.isfinite(row["loss"]) for row in result.history)


def test_a_batch_to_come_that_is_too_small_for_alpha_is_refused_before_the_first_step(
    streets: Any, tmp_path: Path
) -> None:
    phases = (PhaseConfig(loss="ce", epochs=2), PhaseConfig(loss="crc", epochs=1))
    with pytest.raises(BadConfig, match=r"alpha 0\.02 needs 97 positives in every batch"):
        trained(streets, tmp_path, phases=phases, batch_size=30)
    assert not list(tmp_path.iterdir())
