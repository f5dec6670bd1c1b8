"""Conformal-risk training against hand arithmetic, finite differences, and the guarantee that it imitates."""

import pytest
import torch

from stage1.conformal import crc_threshold
from stage1.errors import BadConfig
from stage1.training.config import RiskConfig
from stage1.training.conformal_risk import conformal_risk_loss, soft_threshold


def logits_of(score_N: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax gives `score_N` to class 1."""
    return torch.stack([torch.zeros_like(score_N), torch.logit(score_N)], dim=1)


@pytest.mark.parametrize(
    ("alpha", "count", "ranks"),
    [
        (0.1, 9, [0]),  # floor(10 x .1) - 1 = 0
        (0.1, 19, [0, 1, 2]),  # floor(20 x .1) - 1 = 1, a window of one rank on either side
        (0.1, 18, [0, 1]),  # floor(1.9) - 1 = 0: nothing lies below rank 0
        (0.02, 49, [0, 1]),
        (0.3, 9, [1, 2, 3]),  # 10 x .3 is 3 exactly, where floats of .1 x 3 would err
    ],
)
def test_the_threshold_is_the_mean_around_the_conformal_rank(alpha: float, count: int, ranks: list[int]) -> None:
    scores = torch.linspace(0.1, 0.9, count, dtype=torch.float64)
    window = 0 if ranks == [0] else 1
    found = soft_threshold(scores[torch.randperm(count)], RiskConfig(alpha=alpha, window=window))
    assert found.item() == pytest.approx(scores[ranks].mean().item())


@pytest.mark.parametrize(("alpha", "count"), [(0.02, 49), (0.02, 500), (0.1, 37), (0.05, 60)])
def test_without_a_window_the_threshold_is_the_one_of_conformal_risk_control(alpha: float, count: int) -> None:
    scores = torch.rand(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    found = soft_threshold(scores, RiskConfig(alpha=alpha, window=0)).item()
    assert found == pytest.approx(crc_threshold(scores.numpy(), alpha))


def test_a_batch_of_97_positives_is_enough_and_one_of_96_is_refused_with_both_numbers() -> None:
    """alpha .02 takes 49 positives: 50 x .02 = 1. Every second of 97 makes 49."""
    labels = torch.tensor([1] * 97 + [0] * 4)
    conformal_risk_loss(torch.randn(101, 2), labels, RiskConfig(alpha=0.02))
    with pytest.raises(
        BadConfig, match=r"alpha 0\.02 needs 97 positives in every batch, .* a batch of 100 images has 96\. Raise"
    ):
        conformal_risk_loss(torch.randn(100, 2), labels[1:], RiskConfig(alpha=0.02))


def test_a_batch_without_a_second_negative_is_refused() -> None:
    with pytest.raises(BadConfig, match="needs two negatives in every batch, a batch of 10 images has 1"):
        conformal_risk_loss(torch.randn(10, 2), torch.tensor([1] * 9 + [0]), RiskConfig(alpha=0.5))


def test_the_loss_is_the_soft_false_positive_rate_at_the_threshold() -> None:
    """Positives .9 .2 .6 .3: every second from the first, .9 and .6, calibrates; at alpha 1/2 the rank is
    floor(3 / 2) - 1 = 0: .6. Of the negatives .1 .5 .2 .7 every second from the second counts: .5 and .7."""
    scores = torch.tensor([0.9, 0.1, 0.2, 0.5, 0.6, 0.2, 0.3, 0.7], dtype=torch.float64)
    labels = torch.tensor([1, 0] * 4)
    found = conformal_risk_loss(logits_of(scores), labels, RiskConfig(alpha=0.5, window=0, temperature=0.1))
    by_hand = torch.tensor([-1.0, 1.0], dtype=torch.float64).sigmoid().mean()
    assert found.item() == pytest.approx(by_hand.item())


def test_the_slope_is_that_of_finite_differences_through_the_threshold_too() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(60, 2, generator=generator, dtype=torch.float64).requires_grad_()
    labels = torch.tensor([1] * 38 + [0] * 22)  # 19 calibrate: floor(20 x .1) - 1 = 1
    risk = RiskConfig(alpha=0.1, window=2)
    assert torch.autograd.gradcheck(lambda given: conformal_risk_loss(given, labels, risk), (logits,))
    conformal_risk_loss(logits, labels, risk).backward()
    assert logits.grad is not None
    pushed = (logits.grad[labels == 1].abs().sum(dim=1) > 0).sum().item()
    assert pushed == 4, "ranks 0 to 3: two above the conformal rank 1, and one below"


def test_following_the_slope_lowers_the_false_positive_rate_at_the_tolerated_miss_rate() -> None:
    """Scores that start overlapping are pulled apart where the threshold stands."""
    torch.manual_seed(0)
    features = torch.cat([torch.randn(400, 2) + torch.tensor([1.0, 0.5]), torch.randn(400, 2)])
    labels = torch.tensor([1] * 400 + [0] * 400)
    order = torch.randperm(800)
    features, labels = features[order], labels[order]
    head = torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.constant_(head.weight[1, 1:], 0.5)  # begins by looking at the weaker feature alone
    risk = RiskConfig(alpha=0.1)
    optimiser = torch.optim.Adam(head.parameters(), 0.02)

    def false_positives() -> float:
        score = head(features).softmax(1)[:, 1].detach()
        threshold = crc_threshold(score[labels == 1].double().numpy(), 0.1)
        return float((score[labels == 0] >= threshold).double().mean())

    before = false_positives()
    for _ in range(200):
        optimiser.zero_grad()
        conformal_risk_loss(head(features), labels, risk).backward()
        optimiser.step()
    assert false_positives() < before - 0.1
