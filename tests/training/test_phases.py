"""Which loss an epoch has, and a phase that ends early: what is passed over, and that it is passed over again."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stage1.errors import Interrupted
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training import supervised
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import OptimiserConfig, PhaseConfig, TrainConfig
from stage1.training.judging import judge
from stage1.training.optimiser import schedule
from stage1.training.phases import Phases
from stage1.training.scoring import Scores
from stage1.training.supervised import LabelledImages, TrainedModel, train_classifier

CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=16,
    phases=(PhaseConfig(loss="ce", epochs=6), PhaseConfig(loss="selective", epochs=3)),
    patience=2,
    optimiser=OptimiserConfig(learning_rate=1.0, warmup=0),
)


def test_losses_and_ends_by_epoch() -> None:
    phases = Phases(CONFIG)
    assert [phases.loss_of(epoch) for epoch in range(9)] == ["ce"] * 6 + ["selective"] * 3
    assert [phases.end_of(epoch) for epoch in range(9)] == [6] * 6 + [9] * 3
    assert phases.epochs_of("selective") == [6, 7, 8]
    assert phases.epochs_of("crc") == []


def test_a_new_phase_is_as_fresh_as_a_better_epoch() -> None:
    phases = Phases(CONFIG)
    assert phases.stale(3, 1, improved=False) == 2
    assert phases.stale(3, 1, improved=True) == 0
    assert phases.stale(6, 1, improved=False) == 1


def trained(streets: Any, folder: Path, judged: list[float], monkeypatch: pytest.MonkeyPatch, stop: int = 0) -> Any:
    """Train on what is judged as given, an AUGRC an epoch; a signal at the end of epoch `stop`."""
    seen: list[int] = []

    def given(_scores: Scores, _labels: Any) -> dict[str, Any]:
        seen.append(len(seen))
        if len(seen) == stop:
            signal.raise_signal(signal.SIGTERM)
        return {"val_augrc": judged[len(seen) - 1], "gate_collapsed": False}

    monkeypatch.setattr(supervised, "judge", given)
    return train_classifier(
        build_backbone(BackboneConfig(widths=(8, 16)), 16),
        LabelledImages(streets.batches(0, 32), streets.labels_N[:32]),
        LabelledImages(streets.batches(32, 48), streets.labels_N[32:48]),
        CONFIG,
        Checkpoints(folder),
    )


JUDGED = [0.3, 0.2, 0.2, 0.25, 0.1, 0.2, 0.2]
"""Epoch 2 is the best of ce; 3 is no better (equal), 4 neither: on with epoch 7, better; 8 and 9 are not, the end."""


def check(result: TrainedModel) -> None:
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 7, 8, 9]
    assert result.best_epoch == 7
    assert result.kept["val_augrc"] == 0.1
    rates = [row["learning_rate"] for row in result.history]
    assert rates == pytest.approx([schedule(2 * epoch - 1, 18, 0) for epoch in (1, 2, 3, 4, 7, 8, 9)])


def test_a_phase_ends_when_nothing_got_better_and_the_next_one_begins_at_its_own_learning_rate(
    streets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(trained(streets, tmp_path, JUDGED, monkeypatch))


def test_stopped_as_a_phase_ended_early_it_goes_on_with_the_next(
    streets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        trained(streets, tmp_path, JUDGED, monkeypatch, stop=4)
    check(trained(streets, tmp_path, JUDGED[4:], monkeypatch))


LOGITS_N2 = np.array([[0, 2], [0, 1], [3, 0], [0, 0.5]], np.float32)


def test_a_gate_that_says_the_same_of_everything_has_collapsed() -> None:
    labels_N = np.array([1, 1, 0, 0], np.int8)
    for gate_N, collapsed in [([5, 5, 5, 5], True), ([5, 5.01, 5, 5.02], True), ([5, 4, 5, -1], False)]:
        row = judge(Scores(LOGITS_N2, np.array(gate_N, np.float32)), labels_N)
        assert row["gate_collapsed"] is collapsed
    assert row["val_accuracy"] == 0.75
    assert row["val_gate_augrc"] == pytest.approx(0.5 / 16), "the one mistake is the least sure: n^-2 x 1/2 of itself"
    assert row["val_accepted"] == pytest.approx(np.mean(1 / (1 + np.exp(-np.array([5, 4, 5, -1.0])))))
