"""Every policy keeps its promise in every world: a few repetitions in CI, STAGE1_REPETITIONS=2000 for the full grid."""

import numpy as np
import pytest
from scipy.stats import betabinom

from stage1.policy import Aim, Constraint, Predictions, aimed_misses
from tests.policy.guarantees import KINDS, POSITIVES, below, draw, mixed, simulate, softmax_rates
from tests.policy.scenes import scenes


@pytest.mark.long
@pytest.mark.parametrize("positives", POSITIVES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_promise_holds_everywhere(kind, positives):
    cells = simulate(kind, positives)
    assert len(cells) == 9
    assert [cell for cell in cells if not cell.holds] == []


def test_the_simulation_sees_a_broken_promise():
    """A policy fitted as if the limit were three times as large is found out."""
    from stage1.policy import SoftmaxPolicy
    from tests.policy.guarantees import NO_AIM, Cell

    cell = Cell("informative", 500, 0.02, "softmax")
    rng = np.random.default_rng(0)
    for _ in range(30):
        fitted = SoftmaxPolicy.fit(draw("informative", 500, rng), Constraint(max_fnr=0.06), aim=NO_AIM)
        cell.add(fitted, softmax_rates)
    assert not cell.holds


@pytest.mark.parametrize("kind", KINDS)
def test_true_rates_are_the_sampled_ones(kind):
    rows = draw(kind, 100_000, np.random.default_rng(1))
    for label in (0, 1):
        for threshold in (-3.0, 0.25, 0.3, 2.5):
            found = (rows.margin[rows.positive == bool(label)] < threshold).mean()
            expected = mixed(lambda hard, label=label, threshold=threshold: below(kind, label, threshold, hard))
            assert found == pytest.approx(expected, abs=0.01)


def test_the_aim_gives_the_promised_chance():
    """k misses among m on val_calib at scores drawn afresh: an independent test passes at least nine times in ten."""
    from stage1.conformal import certifiable_misses

    rng, runs = np.random.default_rng(0), 20_000
    for m in (500, 1000, 2000):
        k = aimed_misses(m, m)
        # The rate beneath the (k + 1)-th smallest of m uniform scores is that order statistic itself.
        rate = rng.beta(k + 1, m - k, size=runs)
        passed = (rng.binomial(m, rate) <= certifiable_misses(m)).mean()
        assert passed >= 0.9 - 3 * np.sqrt(0.09 / runs)
        assert betabinom.cdf(certifiable_misses(m), m, k + 2, m - k - 1) < 0.9


def made(margins, labels, gate):
    return Predictions(np.column_stack([np.zeros(len(margins)), margins]), labels, gate)


ODD = np.arange(2000) % 2
HOPELESS = {
    "no positives": made(np.zeros(300), np.zeros(300), np.arange(300.0)),
    "one positive": made(np.arange(300.0), np.arange(300) == 299, np.ones(300)),
    "all scores equal": made(np.zeros(2000), ODD, np.zeros(2000)),
    "alpha below 1 / (m + 1)": scenes(80, 0, hard=0.0, separation=9.0),
    "perfectly wrong": made(np.where(ODD, -5.0, 5.0), ODD, np.arange(2000.0)),
}


@pytest.mark.parametrize("name", ["softmax", "gate", "scrc"])
@pytest.mark.parametrize("case", HOPELESS)
def test_the_hopeless_is_refused_with_a_number(name, case):
    from stage1.policy import CalibrateConfig, fit

    policy = fit(name, HOPELESS[case], CalibrateConfig(), HOPELESS[case])
    assert not policy.feasible
    assert any(word[0].isdigit() for word in policy.reason.split())
    assert not policy.decide([[0.0, 50.0], [50.0, 0.0]], [9.0, 9.0]).answered.any()


@pytest.mark.parametrize("name", ["softmax", "gate", "scrc"])
def test_a_perfect_classifier_at_probabilities_of_exactly_0_and_1_is_answered(name):
    from stage1.policy import CalibrateConfig, fit

    label = np.arange(2000) % 2
    rows = Predictions(np.column_stack([np.zeros(2000), np.where(label, 800.0, -800.0)]), label, np.arange(2000.0))
    policy = fit(name, rows, CalibrateConfig(aim=Aim()), rows)
    assert policy.feasible
    decisions = policy.decide(rows.logits, rows.gate)
    assert decisions.answered.mean() >= 0.49
    assert (decisions.label == label)[decisions.answered].all()
    assert softmax_is_saturated(rows)
    if name == "softmax":
        assert set(decisions.probability.tolist()) == {0.0, 1.0}


def softmax_is_saturated(rows):
    with np.errstate(over="ignore"):
        return set((1 / (1 + np.exp(-rows.margin))).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", ["softmax", "gate", "scrc"])
def test_one_and_many_are_decided_to_the_bit(name):
    from stage1.policy import CalibrateConfig, fit

    policy = fit(name, scenes(3000, 0), CalibrateConfig())
    rows = scenes(100_003, 1)
    whole = policy.decide(rows.logits, rows.gate)
    for part in (slice(0, 1), slice(16_383, 16_386), slice(77_777, 77_784), slice(100_002, 100_003)):
        alone = policy.decide(rows.logits[part], rows.gate[part])
        for field in ("answered", "label", "probability", "set"):
            assert np.array_equal(getattr(alone, field), getattr(whole, field)[part])
