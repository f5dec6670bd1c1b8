"""Bounds for groups: equal to the exact one without clustering, larger with it, and what that repairs."""

import numpy as np
import pytest
from scipy.stats import beta, t

from stage1.conformal import fnr_upper_bound, korn_graubard, upper_bound
from stage1.errors import BadData


def test_without_groups_the_bound_is_exact():
    miss = np.zeros(149, dtype=bool)
    for groups in (None, np.arange(149)):
        bound = upper_bound(miss, groups)
        assert (bound.upper, bound.bound, bound.design_effect) == (fnr_upper_bound(0, 149), "clopper-pearson", 1.0)
        assert (bound.value, bound.misses, bound.positives) == (0, 0, 149)


def test_no_positives_bound_at_one():
    bound = upper_bound([], [])
    assert bound.upper == 1.0
    assert np.isnan(bound.value)


def test_korn_graubard_by_hand():
    # Four groups of 5, one of them all missed.
    miss = np.repeat([True, False, False, False], 5)
    groups = np.repeat([0, 1, 2, 3], 5)
    share = 5 / 20
    variance = 4 / 3 * ((5 - share * 5) ** 2 + 3 * (share * 5) ** 2)
    effect = variance / (20 * share * (1 - share))
    size = 20 / effect / (t.ppf(0.95, 3) / t.ppf(0.95, 19)) ** 2
    expected = beta.ppf(0.95, share * size + 1, size * (1 - share))
    upper, found = korn_graubard(miss, groups)
    assert found == pytest.approx(effect)
    assert upper == pytest.approx(expected)
    bound = upper_bound(miss, groups)
    assert (bound.upper, bound.bound) == (upper, "korn-graubard")
    assert bound.upper > fnr_upper_bound(5, 20)


def test_misses_spread_evenly_are_not_rewarded():
    miss = np.tile([True, False, False, False, False], 20)
    bound = upper_bound(miss, np.repeat(np.arange(20), 5))
    assert bound.design_effect == 1.0
    assert bound.upper >= fnr_upper_bound(20, 100)


def test_all_missed_bounds_at_one():
    assert korn_graubard([True, True, True, True], [0, 0, 1, 1])[0] == 1.0


def test_names_of_groups_do_not_matter():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 10, 60)
    miss = rng.random(60) < 0.2
    renamed = np.array([f"drive {9 - g}" for g in groups])
    assert korn_graubard(miss, groups) == pytest.approx(korn_graubard(miss, renamed))


def false_certificates(size, num_groups, seed, runs=1500):
    """Share of runs that certify 2 % at a true rate of 2 %, intraclass correlation .2, exact and clustered."""
    rng = np.random.default_rng(seed)
    a, b = 0.02 * 4, 0.98 * 4  # beta-binomial: correlation 1 / (a + b + 1) = .2
    groups = np.repeat(np.arange(num_groups), size)
    exact = clustered = 0
    for _ in range(runs):
        miss = rng.random(len(groups)) < np.repeat(rng.beta(a, b, num_groups), size)
        bound = upper_bound(miss, groups)
        exact += fnr_upper_bound(int(miss.sum()), len(miss)) <= 0.02
        clustered += bound.upper <= 0.02
    return exact / runs, clustered / runs


def test_clusters_break_the_exact_bound_and_korn_graubard_mends_most_of_it():
    exact, clustered = false_certificates(10, 100, 0)
    assert exact == pytest.approx(0.16, abs=0.04)
    assert clustered == pytest.approx(0.07, abs=0.03)


def test_bad_groups_are_refused():
    with pytest.raises(BadData, match="Every positive needs a group"):
        korn_graubard([True, False], [1])
    with pytest.raises(BadData, match="Every positive needs a group"):
        korn_graubard([], [])
