"""Losses against arithmetic done by hand and against finite differences."""

from math import exp, log

import pytest
import torch

from stage1.model.classifier import Outputs
from stage1.training.config import RiskConfig
from stage1.training.losses import cross_entropy, selective_loss, supervised

# Logits (0, ln 3) are the probabilities (1/4, 3/4).
LOGITS_22 = torch.tensor([[0.0, log(3)], [0.0, log(3)]])
LABELS_2 = torch.tensor([1, 0])
OPTIONS = {
    "positive_weight": 2.0,
    "label_smoothing": 0.0,
    "target_coverage": 0.9,
    "coverage_penalty": 32.0,
    "selective_share": 0.25,
    "risk": RiskConfig(alpha=0.5, share=0.25, window=0),
}


def test_cross_entropy_is_the_negative_log_of_the_label() -> None:
    assert cross_entropy(LOGITS_22, LABELS_2).tolist() == pytest.approx([-log(3 / 4), -log(1 / 4)])


def test_positives_are_weighted_and_negatives_are_not() -> None:
    found = cross_entropy(LOGITS_22, LABELS_2, positive_weight=5)
    assert found.tolist() == pytest.approx([-5 * log(3 / 4), -log(1 / 4)])


def test_smoothing_shares_the_label_among_both_classes() -> None:
    """With .2, a label keeps .8 + .1 and the other class gets .1."""
    found = cross_entropy(LOGITS_22, LABELS_2, label_smoothing=0.2)
    assert found.tolist() == pytest.approx([-0.9 * log(3 / 4) - 0.1 * log(1 / 4), -0.9 * log(1 / 4) - 0.1 * log(3 / 4)])


def test_selective_loss_is_risk_of_the_accepted_and_a_squared_shortfall() -> None:
    """Gates 1/2 and 3/4: (1 * .5 + 2 * .75) / 1.25 = 1.6; coverage .625 is .275 short of .9: 32 * .275^2 = 2.42."""
    found = selective_loss(
        torch.tensor([1.0, 2.0]), torch.tensor([0.0, log(3)]), target_coverage=0.9, coverage_penalty=32
    )
    assert found.item() == pytest.approx(1.6 + 2.42)


def test_enough_coverage_costs_nothing() -> None:
    """The gates accept .625 on average."""
    found = selective_loss(
        torch.tensor([1.0, 2.0]), torch.tensor([0.0, log(3)]), target_coverage=0.6, coverage_penalty=32
    )
    assert found.item() == pytest.approx(1.6)


def test_the_ratio_is_of_the_whole_batch_and_not_a_mean_over_halves() -> None:
    """Halves: 1 and 2, mean 1.5; the whole: 1.6."""
    losses, gates = torch.tensor([1.0, 2.0]), torch.tensor([0.0, log(3)])
    halves = [
        selective_loss(losses[part], gates[part], target_coverage=0.1, coverage_penalty=32).item()
        for part in (slice(0, 1), slice(1, 2))
    ]
    assert halves == pytest.approx([1, 2])
    whole = selective_loss(losses, gates, target_coverage=0.1, coverage_penalty=32)
    assert whole.item() == pytest.approx(1.6)


@pytest.mark.parametrize("target_coverage", [0.95, 0.05])
def test_the_slope_of_the_selective_loss_is_that_of_finite_differences(target_coverage: float) -> None:
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(6, generator=generator, dtype=torch.float64).requires_grad_()
    gates = torch.randn(6, generator=generator, dtype=torch.float64).requires_grad_()

    def loss(losses_N: torch.Tensor, gate_N: torch.Tensor) -> torch.Tensor:
        return selective_loss(losses_N, gate_N, target_coverage=target_coverage, coverage_penalty=32)

    assert torch.autograd.gradcheck(loss, (losses, gates))


def outputs() -> Outputs:
    """cls says (1/4, 3/4), aux (1/2, 1/2), the gate 1/2 and 3/4."""
    return Outputs(
        LOGITS_22.clone().requires_grad_(),
        torch.tensor([0.0, log(3)]).requires_grad_(),
        torch.zeros(2, 2).requires_grad_(),
    )


def test_the_ce_phase_teaches_both_heads_the_label_and_the_gate_whether_cls_is_right() -> None:
    """The first label is right, the second wrong: gate targets 1 and 0, given chances 1/2 and 3/4."""
    given = outputs()
    found = supervised(given, LABELS_2, loss="ce", **OPTIONS)
    classes = (-2 * log(3 / 4) - log(1 / 4)) / 2
    auxiliary = (-2 * log(1 / 2) - log(1 / 2)) / 2
    gate = (-log(1 / 2) - log(1 / 4)) / 2
    assert found.item() == pytest.approx(classes + auxiliary + 0.1 * gate)
    found.backward()
    # The slope of cross-entropy is p - y, times the weight, over two images: the gate adds nothing to it.
    assert given.logits_N2.grad is not None
    assert given.logits_N2.grad[:, 1].tolist() == pytest.approx([2 * (3 / 4 - 1) / 2, (3 / 4) / 2])


def test_the_selective_phase_shares_between_the_accepted_and_the_auxiliary_head() -> None:
    found = supervised(outputs(), LABELS_2, loss="selective", **OPTIONS)
    risk = (-2 * log(3 / 4) * 0.5 - log(1 / 4) * 0.75) / 1.25
    auxiliary = (-2 * log(1 / 2) - log(1 / 2)) / 2
    assert found.item() == pytest.approx(0.25 * (risk + 2.42) + 0.75 * auxiliary)


def test_the_crc_phase_shares_between_the_conformal_risk_and_the_ce_phase() -> None:
    """Positive scores 3/4 and 1/2: every second calibrates, so m = 1, rank 0 and the threshold is 3/4; every second
    negative counts, so the one of 1/2: sigmoid((1/2 - 3/4) / .1)."""
    logits = torch.tensor([[0.0, log(3)], [0.0, log(3)], [0.0, 0.0], [0.0, 0.0]])
    given = Outputs(logits, torch.zeros(4), torch.zeros(4, 2))
    labels = torch.tensor([1, 0, 1, 0])
    plain = supervised(given, labels, loss="ce", **OPTIONS).item()
    found = supervised(given, labels, loss="crc", **OPTIONS).item()
    assert found == pytest.approx(0.25 / (1 + exp(2.5)) + 0.75 * plain)
