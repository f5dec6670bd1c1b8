"""The threshold sweep: its arithmetic at the edge, its promise and its aim by simulation, what it refuses and why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from stage1.policy import Aim, Constraint, Predictions, SoftmaxPolicy
from tests.policy.scenes import outcome, scenes

LIMIT = Constraint()
NO_AIM = Aim(pass_probability=1e-9)


def built(positives, negatives, groups=None):
    """Predictions from margins."""
    margins = np.concatenate([positives, negatives]).astype(float)
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    return Predictions(np.column_stack([np.zeros(len(margins)), margins]), labels, None, groups)


def negatives_with_a_tie_at_zero():
    """900 negatives low and 100 at 0, too many to be false alarms together: positive_from is just above 0."""
    return np.append(np.linspace(-9, -6.5, 900), np.zeros(100))


def clean_negatives(num=1000):
    return np.linspace(-9, -5, num)


def test_149_positives_without_a_miss_are_the_fewest():
    assert SoftmaxPolicy.fit(built(np.full(149, 5.0), clean_negatives()), LIMIT).feasible
    refused = SoftmaxPolicy.fit(built(np.full(148, 5.0), clean_negatives()), LIMIT)
    assert not refused.feasible
    assert "needs 149 positives answered without a miss; val_calib has 148" in refused.reason
    assert f"FNR <= {1 - 0.05 ** (1 / 148):.4f}" in refused.reason


def test_the_sweep_stops_at_the_first_score_that_fails():
    # 500 positives on top, then low ones one by one among the negatives: k misses are certified while
    # binom.cdf(k, 500 + k, .02) <= .05, so up to k = 4 (523 are needed for 5).
    low = -6.0 + 0.01 * np.arange(40)
    policy = SoftmaxPolicy.fit(
        built(np.append(np.full(500, 5.0), low), negatives_with_a_tie_at_zero()), LIMIT, aim=NO_AIM
    )
    assert binom.cdf(4, 504, 0.02) <= 0.05 < binom.cdf(5, 505, 0.02)
    assert policy.evidence.misses == 4
    assert policy.evidence.bound_by == "certificate"
    # Midway between the failing score (the fifth) and the observed score beneath it (the fourth).
    assert policy.negative_below == pytest.approx((low[4] + low[3]) / 2, abs=1e-12)


def test_ties_are_taken_or_left_together():
    tied = np.append(np.full(500, 5.0), np.full(5, -6.0))
    policy = SoftmaxPolicy.fit(built(tied, negatives_with_a_tie_at_zero()), LIMIT, aim=NO_AIM)
    assert policy.evidence.misses == 0
    assert policy.negative_below == pytest.approx((-6.0 - 6.5) / 2)


def test_the_aim_is_stricter_than_the_certificate():
    rows = scenes(4000, 1)
    aimed, certified = SoftmaxPolicy.fit(rows, LIMIT), SoftmaxPolicy.fit(rows, LIMIT, aim=NO_AIM)
    assert (aimed.evidence.bound_by, certified.evidence.bound_by) == ("aim", "certificate")
    assert aimed.negative_below < certified.negative_below
    assert aimed.evidence.pass_probability >= 0.9 > certified.evidence.pass_probability


@pytest.mark.parametrize(("positives", "misses"), [(500, 0), (1000, 6), (2000, 20), (5000, 67)])
def test_the_aim_allows_the_published_number_of_misses(positives, misses):
    # All positives below the top of the negatives but answered in the end: misses of `positives` answered.
    rows = built(
        np.concatenate([np.full(positives - misses, 5.0), np.linspace(-6, -5.5, misses + 30)]), clean_negatives()
    )
    policy = SoftmaxPolicy.fit(rows, LIMIT)
    assert abs(policy.evidence.misses - misses) <= 1  # 30 more positives lie deferred, which the table does not have


def test_300_positives_are_certified_but_the_chance_to_pass_is_told():
    policy = SoftmaxPolicy.fit(built(np.full(300, 5.0), clean_negatives()), LIMIT)
    assert policy.feasible
    assert (policy.evidence.bound_by, policy.evidence.misses) == ("aim", 0)
    # A test of 300 allows one miss; after none in 300 the rate is Beta(1, 300), so the test has
    # P(0) = 300/600, P(1) = 300/600 * 300/599.
    assert policy.evidence.pass_probability == pytest.approx(1 / 2 + 1 / 2 * 300 / 599, abs=1e-9)


def test_a_perfect_classifier_answers_nearly_everything_without_a_false_alarm():
    rows = built(np.linspace(4, 8, 600), np.linspace(-8, -4, 600))
    misses, _, alarms, _, coverage = outcome(SoftmaxPolicy.fit(rows, LIMIT), rows)
    assert (misses, alarms) == (0, 0)
    assert coverage >= 0.97


@pytest.mark.parametrize(
    ("positives", "negatives", "message"),
    [
        (np.linspace(-8, -4, 600), np.linspace(4, 8, 600), "needs 149 positives answered"),  # perfectly wrong
        (np.zeros(600), np.zeros(600), "needs 149 positives answered"),  # all scores equal
        (np.full(1, 5.0), clean_negatives(), "val_calib has 1 at or above"),
        (np.full(0, 5.0), clean_negatives(), "val_calib has 0 at or above"),
        (np.full(600, 5.0), clean_negatives(50), "negatives in val_calib, got 50"),
        (np.full(600, 5.0), clean_negatives(0), "negatives in val_calib, got 0"),
        (np.full(0, 5.0), clean_negatives(0), "negatives in val_calib, got 0"),
    ],
)
def test_what_cannot_be_promised_is_refused_and_defers_everything(positives, negatives, message):
    rows = built(positives, negatives)
    policy = SoftmaxPolicy.fit(rows, LIMIT)
    assert not policy.feasible
    assert message in policy.reason
    assert policy.promise == "None: every image is deferred."
    decisions = policy.decide([[0.0, 9.0], [9.0, 0.0]])
    assert not decisions.answered.any()
    assert decisions.set.all()


def test_too_few_answered_negatives_are_refused():
    rng = np.random.default_rng(0)
    rows = built(np.append(rng.normal(4, 1, 900), rng.normal(-3, 1, 100)), rng.normal(-2, 1, 2000))
    policy = SoftmaxPolicy.fit(rows, LIMIT)
    assert not policy.feasible
    assert "was planned for 50% of the negatives answered" in policy.reason


def test_the_positive_threshold_does_not_see_where_the_positives_are():
    # The first step reads negatives alone; the last one may raise it to a positive, never lower it.
    from stage1.policy.fitting.evidence import judges
    from stage1.policy.fitting.softmax import _positive_from

    negatives = np.random.default_rng(0).normal(-3, 1, 2000)
    found = []
    for centre in (0.0, 5.0):
        rows = built(np.random.default_rng(1).normal(centre, 1, 1000), negatives)
        found.append(_positive_from(rows, LIMIT, Aim(), judges(rows, LIMIT, Aim())))
    assert found[0] == found[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.01, 0.02, 0.05]), st.sampled_from([0.02, 0.05, 0.1]))
def test_a_laxer_limit_never_answers_fewer_as_negative(seed, first, second):
    low, high = sorted((first, second))
    rows = scenes(1500, seed)
    strict = SoftmaxPolicy.fit(rows, Constraint(max_fnr=low), aim=NO_AIM)
    lax = SoftmaxPolicy.fit(rows, Constraint(max_fnr=high), aim=NO_AIM)
    if strict.feasible:
        assert lax.feasible
        assert lax.negative_below >= strict.negative_below


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_the_fit_does_not_depend_on_the_order_of_rows(seed):
    rows = scenes(900, seed, groups=6)
    order = np.random.default_rng(seed).permutation(900)
    moved = Predictions(rows.logits[order], rows.labels[order], rows.gate[order], rows.groups[order])
    assert SoftmaxPolicy.fit(moved, LIMIT) == SoftmaxPolicy.fit(rows, LIMIT)


def violations(aim, limit, runs, num_images, **options):
    """Share of fitted policies whose true FNR, or FPR, is above its limit; and mean coverage."""
    world = scenes(200_000, 999, **options)
    broken, alarmed, coverage = 0, 0, []
    for seed in range(runs):
        policy = SoftmaxPolicy.fit(scenes(num_images, seed, **options), limit, aim=aim)
        if policy.feasible:
            misses, positives, alarms, negatives, answered = outcome(policy, world)
            broken += misses / positives > limit.max_fnr
            alarmed += alarms / negatives > limit.max_fpr
            coverage.append(answered)
    return broken / runs, alarmed / runs, coverage


@pytest.mark.parametrize("kind", ["informative", "tied"])
def test_the_certificate_alone_breaks_its_promise_at_most_as_often_as_delta(kind):
    broken, alarmed, coverage = violations(NO_AIM, LIMIT, 150, 2000, kind=kind)
    error = np.sqrt(0.05 * 0.95 / 150)
    assert broken <= 0.05 + 3 * error
    assert alarmed <= 0.05 + 3 * error
    assert np.mean(coverage) > 0.8


@pytest.mark.parametrize("kind", ["useless", "adversarial"])
def test_hopeless_scores_do_not_break_the_promise(kind):
    broken, alarmed, _ = violations(NO_AIM, LIMIT, 40, 1500, kind=kind)
    assert broken <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
    assert alarmed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_an_aimed_policy_passes_an_independent_test_about_nine_times_in_ten():
    from stage1.conformal import upper_bound

    passed = 0
    for seed in range(120):
        policy = SoftmaxPolicy.fit(scenes(2000, seed), LIMIT)
        misses, positives, alarms, negatives, _ = outcome(policy, scenes(2000, 10_000 + seed))
        fnr = upper_bound(np.arange(positives) < misses).upper
        fpr = upper_bound(np.arange(negatives) < alarms).upper
        passed += fnr <= LIMIT.max_fnr and fpr <= LIMIT.max_fpr
    assert passed / 120 >= 0.9 - 3 * np.sqrt(0.9 * 0.1 / 120)


def test_misses_of_one_group_weigh_more_than_scattered_ones():
    positives = np.append(np.full(500, 5.0), -6.0 + 0.01 * np.arange(40))
    numbers = np.arange(1540)
    scattered = numbers // 2
    together = np.where((numbers >= 500) & (numbers < 540), 500, scattered)
    rows = {
        name: built(positives, negatives_with_a_tie_at_zero(), groups)
        for name, groups in (("none", None), ("scattered", scattered), ("together", together))
    }
    fits = {name: SoftmaxPolicy.fit(row, LIMIT, aim=NO_AIM) for name, row in rows.items()}
    assert fits["none"].evidence.misses == 4
    assert fits["together"].evidence.misses < fits["scattered"].evidence.misses <= 4
    assert "approximate" in fits["together"].promise
    assert "approximate" not in fits["none"].promise


@pytest.mark.long
@pytest.mark.parametrize("max_fnr", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("num_images", [1000, 4000, 20_000])
@pytest.mark.parametrize("kind", ["informative", "useless", "tied", "adversarial"])
def test_the_promise_holds_everywhere(kind, num_images, max_fnr):
    runs = 300
    broken, alarmed, _ = violations(NO_AIM, Constraint(max_fnr=max_fnr), runs, num_images, kind=kind)
    error = np.sqrt(0.05 * 0.95 / runs)
    assert broken <= 0.05 + 3 * error
    assert alarmed <= 0.05 + 3 * error
