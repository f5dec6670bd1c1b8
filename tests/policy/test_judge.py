"""The rules that stop a sweep: scipy's beta-binomial, the certificate, and the order of the two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from stage1.conformal import certifiable_misses, fnr_upper_bound
from stage1.policy.fitting.counts import Counts, one
from stage1.policy.fitting.judge import Judge, stop

JUDGE = Judge(limit=0.02, delta=0.05, confidence=0.95, aim=0.9, test_ratio=1.0)


def counts(errors, answered):
    return Counts(np.asarray(errors), np.asarray(answered))


@given(st.integers(0, 30), st.integers(100, 3000), st.floats(0.3, 3))
def test_the_chance_to_pass_is_beta_binomial(errors, right, ratio):
    judge = Judge(0.02, 0.05, 0.95, 0.9, ratio)
    tested = int(np.floor((errors + right) * ratio + 1e-9))
    allowed = certifiable_misses(tested)
    expected = betabinom.cdf(allowed, tested, errors + 1, right) if allowed >= 0 else 0.0
    found = judge.pass_probability(counts([errors], [errors + right]))[0]
    assert found == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 30), st.integers(1, 3000))
def test_the_upper_bound_is_the_certificates(errors, right):
    found = JUDGE.upper(counts([errors], [errors + right]))[0]
    assert found == pytest.approx(fnr_upper_bound(errors, errors + right), abs=1e-12)
    assert JUDGE.certified(counts([errors], [errors + right]))[0] == (found <= 0.02)


def test_it_stops_at_the_first_failure_even_if_later_ones_pass():
    stopped = stop(Judge(0.02, 0.05, 0.95, 1e-9, 1.0), counts([0, 1, 0], [149, 200, 5000]))
    assert (stopped.candidate, stopped.bound_by) == (0, "certificate")


def test_nothing_certified_is_minus_one():
    assert stop(JUDGE, counts([0, 0], [148, 149])).candidate == -1


def test_all_certified_and_aimed_is_bound_by_nothing():
    stopped = stop(JUDGE, counts([0, 1], [5000, 5000]))
    assert (stopped.candidate, stopped.bound_by) == (1, "nothing")


@pytest.mark.parametrize("last", range(1, 12))
def test_bisection_finds_the_last_that_meets_the_aim(last):
    errors = np.arange(200)
    every = counts(errors, np.full(200, 2000))
    expected = int(np.flatnonzero(JUDGE.pass_probability(every) >= 0.9)[-1])
    assert stop(JUDGE, every).candidate == expected
    cut = every.take(slice(0, last + 1))
    assert stop(JUDGE, cut).candidate == min(expected, last)


def test_groups_lower_the_chance_and_raise_the_bound():
    miss = np.zeros(2000, dtype=bool)
    miss[:10] = True
    together, apart = one(miss, np.arange(2000) // 20), one(miss, None)
    assert JUDGE.upper(together)[0] > JUDGE.upper(apart)[0]
    assert JUDGE.pass_probability(together)[0] < JUDGE.pass_probability(apart)[0]
    assert JUDGE.design_effect(together)[0] > 1 == JUDGE.design_effect(apart)[0]
