"""Exact binomial certificates: METHODS' numbers, the definition, and the sequential guarantee."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from stage1.conformal import (
    certifiable_misses,
    certifiable_misses_each,
    fnr_upper_bound,
    ltt,
    p_values,
    positives_needed,
)
from stage1.errors import BadData


def test_positives_needed_for_two_percent():
    assert [positives_needed(0.02, k) for k in range(6)] == [149, 236, 313, 386, 456, 523]


@given(st.integers(0, 30), st.floats(0.005, 0.5), st.floats(0.5, 0.999))
def test_positives_needed_is_the_first_size_that_certifies(misses, max_fnr, confidence):
    needed = positives_needed(max_fnr, misses, confidence)
    assert binom.cdf(misses, needed, max_fnr) <= 1 - confidence + 1e-12
    assert needed == misses + 1 or binom.cdf(misses, needed - 1, max_fnr) > 1 - confidence - 1e-12


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_upper_bound_is_clopper_pearsons(misses, positives):
    misses = min(misses, positives)
    expected = binomtest(misses, positives, alternative="less").proportion_ci(0.95, method="exact").high
    assert fnr_upper_bound(misses, positives) == pytest.approx(expected, abs=1e-12)


def test_no_positives_prove_nothing():
    assert fnr_upper_bound(0, 0) == 1.0
    assert fnr_upper_bound(3, 3) == 1.0


def test_the_published_near_miss_fails():
    # One miss of 235 positives: a bound of 2.003 %, just above 2 %.
    assert fnr_upper_bound(1, 235) == pytest.approx(0.02003, abs=5e-6)
    assert certifiable_misses(235) == 0
    assert certifiable_misses(236) == 1


@given(st.integers(0, 3000), st.sampled_from([0.01, 0.02, 0.05, 0.1]))
def test_certifiable_misses_is_what_the_bound_allows(positives, max_fnr):
    allowed = certifiable_misses(positives, max_fnr)
    if allowed >= 0:
        assert fnr_upper_bound(allowed, positives) <= max_fnr + 1e-12
    assert allowed < positives or positives == 0
    assert fnr_upper_bound(allowed + 1, max(positives, allowed + 1)) > max_fnr


def test_certifiable_misses_of_many_sizes():
    sizes = np.arange(600)
    assert certifiable_misses_each(sizes).tolist() == [certifiable_misses(int(n)) for n in sizes]


def test_power_of_two_percent_at_a_true_rate_of_one():
    chance = [float(binom.cdf(certifiable_misses(n), n, 0.01)) for n in (500, 1000, 2000)]
    assert chance == pytest.approx([0.44, 0.79, 0.98], abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 400)), min_size=1, max_size=10))
def test_ltt_stops_at_the_first_failure(pairs):
    misses, positives = np.array([m for m, _ in pairs]), np.array([m + n for m, n in pairs])
    count = ltt(misses, positives, 0.02, 0.05)
    passed = binom.cdf(misses, positives, 0.02) <= 0.05
    assert passed[:count].all()
    assert count == len(pairs) or not passed[count]


@given(st.integers(0, 50), st.integers(0, 500), st.floats(0.01, 0.5))
def test_p_values_are_binomial_tails(misses, hits, alpha):
    expected = binom.cdf(misses, misses + hits, alpha)
    assert p_values([misses], [misses + hits], alpha)[0] == pytest.approx(expected, abs=1e-10)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(150, 1000), st.floats(0.01, 0.1), st.floats(0.01, 0.1))
def test_p_values_fall_as_alpha_grows(misses, positives, first, second):
    low, high = sorted((first, second))
    assert p_values([misses], [positives], high)[0] <= p_values([misses], [positives], low)[0] + 1e-12


def test_ltt_breaks_its_promise_at_most_as_often_as_delta():
    """Ten candidates, the last five too risky: some of those is certified in at most 5 % of runs."""
    rng = np.random.default_rng(0)
    rates = np.array([0.002, 0.005, 0.01, 0.015, 0.018, 0.0201, 0.0201, 0.025, 0.03, 0.04])
    broken = sum(ltt(rng.binomial(1000, rates), np.full(10, 1000), 0.02, 0.05) > 5 for _ in range(2000))
    assert broken / 2000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fnr_upper_bound(2, 1), "between 0 and positives, got 2 of 1"),
        (lambda: fnr_upper_bound(0, 1, 1.0), r"confidence must lie in \(0, 1\), got 1.0"),
        (lambda: positives_needed(0.0), "max_fnr"),
        (lambda: positives_needed(0.1, -1), "misses must be at least 0"),
        (lambda: ltt([0], [1], 0.02, 0.0), "delta"),
        (lambda: ltt([0], [1], 1.5, 0.05), "alpha"),
        (lambda: p_values([2], [1], 0.02), "0 <= misses <= positives"),
        (lambda: p_values([0, 1], [1], 0.02), "0 <= misses <= positives"),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(BadData, match=message):
        call()
