"""Counts, rates and bounds against a plain loop over images."""

import numpy as np
import pytest
from scipy.stats import beta

from stage1.evaluation.rates import augrc_interval, intervals, policy_intervals, policy_rates
from stage1.metrics import Resampler, augrc, weighted_mean
from tests.evaluation.making import gate, make_rows, simulated, softmax

# margin, label; the policies below answer at margins beyond 1
CASES = [
    (2.0, 1), (1.0, 1), (0.9, 1), (-0.9, 1), (-1.0, 1), (-1.1, 1), (-3.0, 0), (-1.5, 0), (0.0, 0), (1.0, 0), (5.0, 0),
]  # fmt: skip


def counted(decided: list[str | int], labels: list[int]) -> dict[str, int]:
    """Count the six outcomes one image at a time; "defer" or the label that was given."""
    names = {(1, 1): "answered_tp", (0, 1): "answered_fn", (0, 0): "answered_tn", (1, 0): "answered_fp"}
    found = dict.fromkeys([*names.values(), "deferred_pos", "deferred_neg"], 0)
    for said, label in zip(decided, labels, strict=True):
        found["deferred_pos" if label else "deferred_neg"] += said == "defer"
        if said != "defer":
            found[names[int(said), label]] += 1
    return found


def clopper_pearson(failures: int, trials: int) -> float:
    return 1.0 if failures == trials else float(beta.ppf(0.95, failures + 1, trials - failures))


def test_the_four_rates_are_what_a_loop_counts() -> None:
    margins, labels = zip(*CASES, strict=True)
    decided = [1 if margin >= 1 else 0 if margin < -1 else "defer" for margin in margins]
    found = policy_rates(softmax(), make_rows(margins, labels), 0.95)
    count = counted(decided, list(labels))
    assert count == {
        "answered_tp": 2, "answered_fn": 1, "answered_tn": 2, "answered_fp": 2, "deferred_pos": 3, "deferred_neg": 1,
    }  # fmt: skip
    assert found["confusion"] == count
    for name, failures, trials, names in (
        ("fnr_answered", 1, 3, ("misses", "positives")),
        ("fpr_answered", 2, 4, ("false_alarms", "negatives")),
        ("fnr_all", 1, 6, ("misses", "positives")),
        ("p_miss", 1, 11, ("misses", "images")),
    ):
        rate = found[name]
        assert [rate[key] for key in names] == [failures, trials]
        assert rate["value"] == pytest.approx(failures / trials)
        assert rate["upper"] == pytest.approx(clopper_pearson(failures, trials))
        assert (rate["bound"], rate["design_effect"]) == ("clopper-pearson", 1)


@pytest.mark.parametrize("seed", range(5))
def test_any_policy_is_counted_as_a_loop_counts_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 60).tolist()
    margins, gates = rng.normal(size=60).round(1).tolist(), rng.normal(size=60).round(1).tolist()
    decided = [int(m >= 0.2) if g > 0.3 else "defer" for m, g in zip(margins, gates, strict=True)]
    found = policy_rates(gate(0.3, positive_from=0.2), make_rows(margins, labels, gates), 0.95)
    assert found["confusion"] == counted(decided, labels)


def test_drives_that_fail_together_are_bounded_as_such() -> None:
    """Two of forty drives are missed whole, five positives each: 10 of 200 proves less than of 200 single images."""
    groups = [f"drive{n // 5}" for n in range(200)]
    rows = make_rows([-2.0] * 10 + [2.0] * 190, [1] * 200, groups=groups)
    rate = policy_rates(softmax(), rows, 0.95)["fnr_answered"]
    assert (rate["misses"], rate["positives"], rate["bound"]) == (10, 200, "korn-graubard")
    assert rate["design_effect"] == pytest.approx(5, rel=0.05), "images of a drive agree: one is worth five"
    assert rate["upper"] > clopper_pearson(10, 200)


def test_coverage_accuracy_and_augrc_are_what_a_loop_finds() -> None:
    margins, labels = zip(*CASES, strict=True)
    found = policy_intervals(softmax(), make_rows(margins, labels), Resampler(11, num_resamples=200), 0.95)
    wrong = [(margin >= 0) != label for margin, label in CASES]
    sure = [abs(margin) for margin in margins]
    pairs = [
        (sure[j] < sure[i]) + (sure[j] == sure[i]) / 2 for i in range(11) if wrong[i] for j in range(11)
    ]  # fmt: skip
    assert found["coverage"]["value"] == pytest.approx(7 / 11)
    assert found["accuracy_answered"]["value"] == pytest.approx(4 / 7)
    assert found["augrc"]["value"] == pytest.approx(sum(pairs) / 11**2)
    assert all(each["low"] <= each["value"] <= each["high"] for each in found.values())


def test_augrc_without_a_mistake_ends_where_the_worst_ranking_of_the_rate_s_bound_would() -> None:
    """The end is AUGRC of 1,000 answers of which the share of the bound, the surest, are wrong."""
    nothing = np.zeros(30, dtype=bool)
    alone = np.arange(30).astype(str).astype(object)
    point = {"value": 0.0, "low": 0.0, "high": 0.0}
    rate = 1 - 0.025 ** (1 / 30)
    wrong = np.arange(100_000) < round(rate * 100_000)
    worst = augrc(np.arange(100_000, 0, -1), wrong)
    assert augrc_interval(point, nothing, alone, 0.95)["high"] == pytest.approx(worst, abs=1e-5)
    some = nothing.copy()
    some[3] = True
    assert augrc_interval(point, some, alone, 0.95) == point, "mistakes that were seen spread by themselves"
    unknown = {"value": 0.0, "low": None, "high": None}
    assert augrc_interval(unknown, nothing, alone, 0.95) == unknown, "one group has no spread"


def test_intervals_cover_what_they_are_about_as_often_as_they_say() -> None:
    """Coverage of simulated margins beyond 1 is known; 95 % intervals from 200 samples hold it in 190 or so of them."""
    whole = simulated(200_000, seed=99)
    truth = float((np.abs(whole.margin_N) >= 1).mean())
    held = 0
    for seed in range(200):
        rows = simulated(100, seed=seed)
        found = policy_intervals(softmax(), rows, Resampler(100, num_resamples=100, seed=seed), 0.95)["coverage"]
        held += found["low"] <= truth <= found["high"]
    assert 176 <= held <= 199, "four standard deviations of a binomial with .95, and a little for so few resamples"


def test_nothing_answered_has_no_rate_and_the_widest_bound() -> None:
    margins, labels = zip(*CASES, strict=True)
    rows = make_rows(margins, labels)
    for policy in (softmax(None, None), softmax(feasible=False)):
        found = policy_rates(policy, rows, 0.95)
        for name in ("fnr_answered", "fpr_answered"):
            assert (found[name]["value"], found[name]["upper"]) == (None, 1.0)
        assert (found["fnr_all"]["value"], found["p_miss"]["misses"]) == (0.0, 0)
        shares = policy_intervals(policy, rows, Resampler(11, num_resamples=100), 0.95)
        assert shares["coverage"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert shares["accuracy_answered"] == {"value": None, "low": None, "high": None}


def test_one_group_has_no_interval_instead_of_one_without_width() -> None:
    """All resamples of one group are the group: an interval of no width would look like certainty."""
    resampler = Resampler(4, ["drive"] * 4, num_resamples=100)
    assert intervals(resampler, {"mean": weighted_mean([1, 0, 0, 0])}, 0.95) == {
        "mean": {"value": 0.25, "low": None, "high": None}
    }
    two = intervals(Resampler(4, ["a", "a", "b", "b"], num_resamples=100), {"mean": weighted_mean([1, 0, 0, 0])}, 0.95)
    assert two["mean"] == {"value": 0.25, "low": 0.0, "high": 0.5}
