"""The SCRC policy: sets from calibrated log-odds, the promise over accepted images, the check over answered ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.policy import Aim, Constraint, Predictions, ScrcOptions, ScrcPolicy
from stage1.policy.fitting.evidence import judges
from stage1.policy.fitting.scrc import _answered, _last, _safer
from stage1.policy.scrc import prediction_sets
from tests.policy.scenes import outcome, scenes

LIMIT = Constraint()
NO_AIM = Aim(pass_probability=1e-9)
FAST = ScrcOptions(penalties=(1e-3,))


def sets_of(log_odds, set_from):
    return np.column_stack(prediction_sets(np.array(log_odds), set_from)).tolist()


def test_sets_by_hand():
    assert sets_of([-2.0, 0.0, 2.0], -1.0) == [[True, False], [True, True], [False, True]]
    assert sets_of([-2.0, 0.0, 2.0], 1.0) == [[True, False], [False, False], [False, True]]
    assert sets_of([-1.0, 1.0], -1.0) == [[True, True], [True, True]]


def test_empty_and_double_sets_and_the_unaccepted_are_deferred():
    rows = scenes(3000, 0)
    policy = ScrcPolicy.fit(rows, LIMIT, options=FAST)
    decisions = policy.decide(rows.logits, rows.gate)
    assert policy.feasible
    assert np.array_equal(decisions.answered, decisions.set.sum(axis=1) == 1)
    assert not decisions.answered[np.asarray(rows.gate) < policy.accept_from].any()
    answered = decisions.answered
    assert np.array_equal(decisions.set[answered].argmax(axis=1), decisions.label[answered])


@given(
    st.lists(st.integers(-6, 6), max_size=20),
    st.lists(st.integers(-6, 6), min_size=1, max_size=8, unique=True),
    st.booleans(),
)
def test_counts_of_all_thresholds_are_counts_of_each(values, levels, wrong_below):
    ranked = np.sort(np.array(values, dtype=float) / 2)
    levels = np.sort(np.array(levels, dtype=float) / 2)
    counts = _answered(levels, ranked, wrong_below=wrong_below)
    for level, errors, answered in zip(levels, counts.errors, counts.answered, strict=True):
        sets = np.column_stack(prediction_sets(ranked, level))
        single = sets[:, 0] != sets[:, 1]
        assert answered == single.sum()
        assert errors == (single & sets[:, 0 if wrong_below else 1]).sum()


def test_the_promise_over_accepted_images_holds_in_expectation():
    """Misses among accepted positives of fresh data, averaged over fits: at most max_fnr."""
    limit = Constraint(max_fnr=0.05, max_fpr=0.3)
    rates, coverage = [], []
    world = scenes(50_000, 999)
    for seed in range(40):
        policy = ScrcPolicy.fit(scenes(800, seed), limit, aim=NO_AIM, options=FAST)
        if policy.feasible:
            accepted = np.asarray(world.gate) >= policy.accept_from
            lacking = policy.log_odds(world.logits) < policy.set_from
            positives = accepted & world.positive
            rates.append((positives & lacking).sum() / positives.sum())
            coverage.append(accepted.mean())
    assert len(rates) >= 30
    assert np.mean(rates) <= 0.05
    assert np.mean(coverage) == pytest.approx(0.9, abs=0.01)


def test_the_check_over_answered_images_holds_about_as_often_as_it_says():
    runs, broken = 80, 0
    world = scenes(200_000, 999)
    for seed in range(runs):
        policy = ScrcPolicy.fit(scenes(2000, seed), LIMIT, aim=NO_AIM, options=FAST)
        if policy.feasible:
            misses, positives, *_ = outcome(policy, world)
            broken += misses / positives > LIMIT.max_fnr
    assert broken / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_the_promise_says_what_it_is_about():
    policy = ScrcPolicy.fit(scenes(3000, 0), LIMIT, options=FAST)
    assert "In expectation" in policy.promise
    assert "gate accepts at least 90%" in policy.promise
    assert "2.0%" in policy.promise


def test_hopeless_scores_are_refused_with_numbers():
    policy = ScrcPolicy.fit(scenes(2000, 0, kind="useless"), LIMIT, options=FAST)
    assert not policy.feasible
    assert "of val_calib's positives with" in policy.reason
    assert not policy.decide([[0.0, 9.0]], [9.0]).answered.any()


@pytest.mark.parametrize("num_positives", [0, 1, 5])
def test_too_few_positives_are_refused(num_positives):
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [num_positives, 300])
    rows = Predictions(np.column_stack([np.zeros(len(labels)), 6.0 * labels - 3]), labels, rng.normal(size=len(labels)))
    policy = ScrcPolicy.fit(rows, LIMIT)
    assert not policy.feasible
    assert ScrcPolicy.from_json(policy.to_json()) == policy


def test_an_empty_val_calib_is_refused():
    assert not ScrcPolicy.fit(Predictions(np.zeros((0, 2)), [], []), LIMIT).feasible


def test_groups_are_counted_in():
    rows = scenes(4000, 3, groups=40)
    grouped = ScrcPolicy.fit(rows, LIMIT, options=FAST)
    plain = ScrcPolicy.fit(Predictions(rows.logits, rows.labels, rows.gate), LIMIT, options=FAST)
    assert grouped.evidence.misses <= plain.evidence.misses
    assert grouped.evidence.design_effect > 1


def test_confidence_is_the_calibrated_margin():
    rows = scenes(1000, 0)
    policy = ScrcPolicy.fit(rows, LIMIT, options=FAST)
    decisions = policy.decide(rows.logits, rows.gate)
    top = np.maximum(decisions.probability, 1 - decisions.probability)
    order = np.argsort(policy.confidence(rows.logits))
    assert (np.diff(top[order]) >= -1e-12).all()


def clumped(rows, num_clumps):
    """The same images, the lowest positives in a few groups, all others alone."""
    groups = np.arange(len(rows))
    lowest = np.argsort(np.where(rows.positive, rows.margin, np.inf))[:60]
    groups[lowest] = len(rows) + np.arange(60) % num_clumps
    return Predictions(rows.logits, rows.labels, rows.gate, groups)


def test_where_misses_share_a_group_a_safer_threshold_is_taken():
    rows = scenes(4000, 3)
    plain = ScrcPolicy.fit(rows, LIMIT, aim=NO_AIM, options=FAST)
    grouped = ScrcPolicy.fit(clumped(rows, 2), LIMIT, aim=NO_AIM, options=FAST)
    assert plain.feasible
    assert grouped.feasible
    assert grouped.set_from < plain.set_from
    assert grouped.evidence.misses < plain.evidence.misses
    assert grouped.evidence.fnr_upper <= LIMIT.max_fnr


@given(st.integers(0, 5), st.integers(0, 12), st.integers(-1, 13))
def test_bisection_finds_the_last_that_passes(low, length, boundary):
    high = low + length
    found = _last(low, high, lambda index: index <= boundary)
    assert found == max(min(boundary, high), low - 1)


def test_false_alarms_of_one_group_can_refuse_every_threshold():
    """20 false alarms among 920 negatives: certified at 5 % when independent, worth 1 of 46 as one group."""
    margins = np.repeat([1.0, -3.0, 2.0], [500, 900, 20])
    labels = np.repeat([1, 0, 0], [500, 900, 20])
    names = np.where(np.arange(1420) < 1400, np.arange(1420), 1400)
    for groups, certified in ((None, True), (names, False)):
        rows = Predictions(np.column_stack([np.zeros(1420), margins]), labels, np.zeros(1420), groups)
        sides = judges(rows, LIMIT, NO_AIM)
        stopped, _, reason = _safer(rows, LIMIT, sides, rows.margin, np.ones(1420, dtype=bool), 1.0)
        assert (stopped.candidate >= 0) == certified
        assert ("these could certify FNR <=" in reason) != certified


def test_a_gate_that_accepts_all_defers_nobody_for_it():
    rows = scenes(3000, 0)
    policy = ScrcPolicy.fit(rows, LIMIT, options=ScrcOptions(penalties=(1e-3,), accept=1.0))
    assert policy.feasible
    decisions = policy.decide(rows.logits, rows.gate)
    assert np.array_equal(decisions.answered, decisions.set.sum(axis=1) == 1)
    assert np.array_equal(decisions.answered, policy.decide(rows.logits, np.full(3000, -1e9)).answered)
    assert decisions.answered.mean() > 0.8
