"""The threshold sweep: its arithmetic at the edge, its promise and its aim by simulation, what it refuses and why."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from stage1.policy import Aim, Constraint, Predictions, SoftmaxPolicy
from stage1.policy.fitting.counts import one
from stage1.policy.fitting.evidence import judges
from stage1.policy.fitting.softmax import Ladder
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


def test_155_positives_without_a_miss_are_the_fewest():
    # .98^154 <= .9 * .05 < .98^153: 154 prove it at the first plan's part of delta, and one marks the threshold.
    assert 0.98**154 <= 0.045 < 0.98**153
    assert SoftmaxPolicy.fit(built(np.full(155, 5.0), clean_negatives()), LIMIT).feasible
    refused = SoftmaxPolicy.fit(built(np.full(154, 5.0), clean_negatives()), LIMIT)
    assert not refused.feasible
    assert "needs 154 positives answered without a miss; val_calib has 153 above" in refused.reason
    assert f"FNR <= {1 - 0.045 ** (1 / 153):.4f}" in refused.reason


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
    # 299 count (one marks the threshold). A test of 299 allows one miss; after none in 299 the rate is Beta(1, 299), so
    # the test has P(0) = 299/598, P(1) = 299/598 * 299/597.
    assert policy.evidence.pass_probability == pytest.approx(1 / 2 + 1 / 2 * 299 / 597, abs=1e-9)


def test_a_perfect_classifier_answers_nearly_everything_without_a_false_alarm():
    rows = built(np.linspace(4, 8, 600), np.linspace(-8, -4, 600))
    misses, _, alarms, _, coverage = outcome(SoftmaxPolicy.fit(rows, LIMIT), rows)
    assert (misses, alarms) == (0, 0)
    assert coverage >= 0.97


@pytest.mark.parametrize(
    ("positives", "negatives", "message"),
    [
        (np.linspace(-8, -4, 600), np.linspace(4, 8, 600), "needs 154 positives answered"),  # perfectly wrong
        (np.zeros(600), np.zeros(600), "needs 154 positives answered"),  # all scores equal
        (np.full(1, 5.0), clean_negatives(), "val_calib has 0 above"),
        (np.full(0, 5.0), clean_negatives(), "val_calib has 0 above"),
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


def test_too_few_answered_negatives_are_refused_with_the_fnr_at_which_they_would_do():
    rng = np.random.default_rng(0)
    low = np.linspace(-8, -6, 100)
    rows = built(np.append(rng.uniform(4, 6, 900), low), rng.uniform(-3, 0, 2000))
    policy = SoftmaxPolicy.fit(rows, LIMIT)
    assert not policy.feasible
    assert "was planned for 50% of the negatives answered" in policy.reason
    # All 100 low positives are missed with the first negative that exits, so FNR is 100 of 1,000.
    assert f"that many would at FNR <= {beta.ppf(0.95, 101, 900):.4f}" in policy.reason


def test_the_positive_threshold_does_not_see_where_the_positives_are():
    # The first step reads negatives alone; then it is raised to the lowest positive at or above it, never lowered.
    from stage1.policy.fitting.judge import Judge

    negatives = np.random.default_rng(0).normal(-3, 1, 2000)
    found = []
    for centre in (0.0, 5.0):
        rows = built(np.random.default_rng(1).normal(centre, 1, 1000), negatives)
        ladder = Ladder.of(rows, LIMIT, judges(rows, LIMIT, Aim()))
        found.append(ladder._positive_from(0.5, Judge(0.025, 0.04, 0.95, 0.0, 1.0)))
        lowest = rows.margin[rows.positive & (rows.margin >= found[-1])].min()
        assert ladder.rung(0.5, 1.0).positive_from >= lowest - 1e-12 or ladder.rung(0.5, 1.0).problem
    assert found[0] == found[1]


def hard_scenes(seed, num_images=3000):
    """A third of the images hard: less than half of the negatives can be answered at FNR <= 2 %."""
    return scenes(num_images, seed, hard=0.35)


def test_a_plan_that_is_not_reached_gives_way_to_a_gentler_one():
    rows = hard_scenes(0)
    bold = SoftmaxPolicy.fit(rows, LIMIT, aim=Aim(answered_negatives=0.6))
    assert bold.feasible
    assert "The planned 60% of the negatives could not be answered; a plan for 30% holds" in bold.findings[0]
    meek = SoftmaxPolicy.fit(rows, LIMIT, aim=Aim(answered_negatives=0.3))
    assert meek.feasible
    assert meek.findings == ()
    # The full part of delta carries further than the twentieth that the gentler plan had left.
    assert meek.negative_below >= bold.negative_below
    assert meek.positive_from <= bold.positive_from


def test_the_share_is_planned_on_val_select():
    from stage1.policy.fitting.softmax import UNPLANNED, planned_share

    easy = scenes(6000, 1, hard=0.0, separation=5.0)
    assert planned_share(easy, LIMIT, Aim()) == 0.95
    assert planned_share(hard_scenes(1, 6000), LIMIT, Aim()) <= 0.5
    assert planned_share(scenes(200, 1), LIMIT, Aim()) == UNPLANNED  # too few to say
    assert planned_share(None, LIMIT, Aim()) == UNPLANNED
    # 400 positives certify, but 100 lie beneath every negative: none may exit, so the least bold plan is all there is.
    stuck = built(np.append(np.full(400, 5.0), np.full(100, -10.0)), np.linspace(-9, -5, 1000))
    assert planned_share(stuck, LIMIT, Aim()) == 0.1


def test_planning_answers_more_and_keeps_the_limits():
    world, planned, unplanned = hard_scenes(999, 200_000), [], []
    for seed in range(12):
        rows = hard_scenes(seed, 2000)
        for policy, shares in (
            (SoftmaxPolicy.fit(rows, LIMIT, planning=hard_scenes(100 + seed, 2000)), planned),
            (SoftmaxPolicy.fit(rows, LIMIT), unplanned),
        ):
            shares.append(policy.decide(world.logits).answered.mean())
            if policy.feasible:
                misses, positives, alarms, negatives, _ = outcome(policy, world)
                assert misses / positives <= LIMIT.max_fnr
                assert alarms / negatives <= LIMIT.max_fpr
    assert np.mean(planned) > np.mean(unplanned)


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
    assert fits["together"].evidence.misses <= fits["scattered"].evidence.misses <= 4
    assert fits["together"].evidence.fnr_upper > fits["none"].evidence.fnr_upper * 0.9
    assert "approximate" in fits["together"].promise
    assert "approximate" not in fits["none"].promise


def test_confidence_ranks_as_the_highest_softmax_probability_does():
    policy = SoftmaxPolicy.fit(built(np.full(200, 5.0), clean_negatives()), LIMIT)
    logits = np.array([[0.0, 3.0], [1.0, -1.0], [2.0, 2.5], [0.0, 0.0]])
    assert policy.confidence(logits).tolist() == [3.0, 2.0, 0.5, 0.0]


def test_labels_of_deferred_images_are_the_likelier_class():
    policy = SoftmaxPolicy.fit(built(np.full(200, 5.0), clean_negatives()), LIMIT)
    policy = policy.model_copy(update={"negative_below": -1.0, "positive_from": 2.0})
    decisions = policy.decide([[0.0, 1.9], [0.0, 0.0], [0.0, -1.0], [0.0, -1.1], [0.0, 2.0]])
    assert decisions.answered.tolist() == [False, False, False, True, True]
    assert decisions.label.tolist() == [1, 1, 0, 0, 1]
    assert decisions.set.tolist() == [[True, True]] * 3 + [[True, False], [False, True]]
    refused = policy.model_copy(update={"feasible": False})
    assert refused.decide([[0.0, 9.0], [0.0, -9.0]]).label.tolist() == [1, 0]


def test_what_is_left_for_chance_grows_with_the_groups_of_negatives():
    """DKW's margin sqrt(log(1 / delta') / 2n) at a tenth of delta; groups divide n by their design effect."""
    rows = scenes(2000, 3)
    plain = Ladder.of(rows, Constraint(), judges(rows, Constraint(), Aim()))
    num_negatives = int((~rows.positive).sum())
    expected = np.sqrt(np.log(1 / (0.1 * 0.05)) / 2 / num_negatives)
    assert plain._slack(-1.0) == pytest.approx(expected)
    together = Predictions(rows.logits, rows.labels, rows.gate, np.argsort(np.argsort(rows.margin)) // 20)
    grouped = Ladder.of(together, Constraint(), judges(together, Constraint(), Aim()))
    exits = grouped.negatives.d_N < -3.0
    effect = grouped.sides.false_alarms.design_effect(one(exits, grouped.negatives.groups_N))[0]
    assert effect > 5
    assert grouped._slack(-3.0) == pytest.approx(expected * np.sqrt(effect))
