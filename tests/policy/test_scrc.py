"""The SCRC policy: sets from calibrated log-odds, the promise over accepted images, the check over answered ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.policy import Aim, Constraint, Predictions, ScrcOptions, ScrcPolicy
from stage1.policy.fitting.scrc import _answered
from stage1.policy.scrc import prediction_sets
from tests.policy.scenes import outcome, scenes

LIMIT = Constraint()
NO_AIM = Aim(pass_probability=1e-9)
FAST = ScrcOptions(penalties=(1e-3,))


def test_sets_by_hand():
    assert prediction_sets(np.array([-2.0, 0.0, 2.0]), -1.0).tolist() == [[True, False], [True, True], [False, True]]
    assert prediction_sets(np.array([-2.0, 0.0, 2.0]), 1.0).tolist() == [[True, False], [False, False], [False, True]]
    assert prediction_sets(np.array([-1.0, 1.0]), -1.0).tolist() == [[True, True], [True, True]]


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
        sets = prediction_sets(ranked, level)
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
