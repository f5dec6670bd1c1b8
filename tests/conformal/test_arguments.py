"""What every function of the room says about an argument that it cannot use, by the argument's name; and its edges."""

import re

import numpy as np
import pytest
from scipy.stats import binom

from stage1.conformal import (
    certifiable_misses,
    crc_needs,
    crc_threshold,
    fnr_upper_bound,
    korn_graubard,
    ltt,
    positives_needed,
    scrc_i,
    scrc_i_needs,
    scrc_i_v2,
    scrc_t,
    upper_bound,
)
from stage1.conformal.bentkus import hoeffding_bentkus_bound, hoeffding_bentkus_needs, hoeffding_bentkus_p_values
from stage1.conformal.binomial import certifiable_misses_each, p_values
from stage1.conformal.clusters import effective
from stage1.errors import BadData

ONE = np.ones(4)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: positives_needed(1.0, 0, 0.95), "max_fnr"),
        (lambda: positives_needed(0.02, 0, 1.0), "confidence"),
        (lambda: certifiable_misses(100, 1.0), "max_fnr"),
        (lambda: certifiable_misses(100, 0.02, 1.0), "confidence"),
        (lambda: fnr_upper_bound(0, 10, 1.0), "confidence"),
        (lambda: ltt([0], [10], 0.02, 1.0), "delta"),
        (lambda: ltt([0], [10], 1.0, 0.05), "alpha"),
        (lambda: p_values([0], [10], 1.0), "alpha"),
        (lambda: korn_graubard([0, 1], [0, 0], 1.0), "confidence"),
        (lambda: crc_needs(1.0), "alpha"),
        (lambda: crc_threshold(ONE, 1.0), "alpha"),
        (lambda: scrc_i_needs(1.0, 0.05), "alpha"),
        (lambda: scrc_i_needs(0.02, 1.0), "delta"),
        (lambda: scrc_i_v2(ONE, ONE, ONE, accept=0.0, alpha=1.0, delta=0.05), "alpha"),
        (lambda: scrc_i_v2(ONE, ONE, ONE, accept=0.0, alpha=0.02, delta=1.0), "delta"),
        (lambda: hoeffding_bentkus_p_values([0], [10], 1.0), "alpha"),
        (lambda: hoeffding_bentkus_needs(0.02, confidence=1.0), "confidence"),
    ],
)
def test_a_rate_outside_its_range_is_called_by_its_name(call, name):
    with pytest.raises(BadData, match=rf"^{name} must lie in \(0, 1\), got 1\.0\.$"):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: p_values([2], [1], 0.02), "Every candidate needs 0 <= misses <= positives."),
        (
            lambda: hoeffding_bentkus_p_values([2], [1], 0.02),
            "Every candidate needs 0 <= sum of losses <= number of samples.",
        ),
        (lambda: hoeffding_bentkus_p_values([1], [1.5], 0.02), "samples must be whole numbers."),
        (
            lambda: scrc_t([np.nan], [1.0], [1], xi=0.5, alpha=0.1),
            "gate and scores must not be NaN and labels must be 0 or 1.",
        ),
        (lambda: scrc_t(ONE, ONE, ONE, xi=1.5, alpha=0.1), "xi must lie in (0, 1], got 1.5."),
        (
            lambda: scrc_t(ONE, ONE, ONE[:3], xi=0.5, alpha=0.1),
            "gate, scores and labels need one row per image: (4,), (4,), (3,).",
        ),
        (
            lambda: scrc_t(ONE, ONE[:3], ONE, xi=0.5, alpha=0.1),
            "gate, scores and labels need one row per image: (4,), (3,), (4,).",
        ),
    ],
)
def test_bad_data_is_described(call, words):
    with pytest.raises(BadData, match=f"^{re.escape(words)}$"):
        call()


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (
            lambda: scrc_i(ONE, ONE, ONE, xi=0.9, alpha=0.02, delta=0.05),
            "Use more calibration data or a smaller xi.",
        ),
        (
            lambda: scrc_i_v2(ONE, ONE, ONE, accept=0.0, alpha=0.02, delta=0.05),
            "Use more calibration data, a larger alpha, scrc_i, or the exact binomial certificate (ltt).",
        ),
    ],
)
def test_too_few_samples_end_with_advice(call, advice):
    with pytest.raises(Exception, match=f"{re.escape(advice)}$") as told:
        call()
    assert type(told.value).__name__ == "TooFewSamples"


@pytest.mark.parametrize("confidence", [0.9, 0.99])
@pytest.mark.parametrize("positives", [0, 1, 2, 43, 500])
def test_certifiable_misses_are_the_most_that_the_binomial_allows(positives, confidence):
    by_definition = [k for k in range(positives) if binom.cdf(k, positives, 0.05) <= 1 - confidence]
    expected = max(by_definition, default=-1)
    assert certifiable_misses(positives, 0.05, confidence) == expected
    assert certifiable_misses_each([positives, positives], 0.05, confidence).tolist() == [expected] * 2


def test_one_positive_can_certify_where_nearly_everything_is_allowed():
    assert certifiable_misses_each([0, 1], 0.96, 0.95).tolist() == [-1, 0]


def test_all_misses_prove_nothing():
    assert p_values([3, 0], [3, 3], 0.5) == pytest.approx([1.0, 0.125])


@pytest.mark.parametrize("losses", [0.0, 2.0, 5.0])
def test_hoeffding_bentkus_stays_a_probability(losses):
    assert 0 < hoeffding_bentkus_p_values([losses], [5], 0.02)[0] <= 1
    assert hoeffding_bentkus_bound(losses, 5, 0.95) <= 1
    assert hoeffding_bentkus_bound(5.0, 5, 0.95) == 1
    assert hoeffding_bentkus_p_values([1.0], [1], 0.02).tolist() == [1.0]


def test_a_bound_with_groups_says_all_that_it_rests_on():
    miss = np.repeat([True, False, False, False], 5)
    groups = np.repeat([0, 1, 2, 3], 5)
    for confidence in (0.9, 0.95):
        upper, effect = korn_graubard(miss, groups, confidence)
        bound = upper_bound(miss, groups, confidence)
        assert (bound.value, bound.misses, bound.positives) == (0.25, 5, 20)
        assert (bound.upper, bound.design_effect, bound.bound) == (upper, effect, "korn-graubard")
    assert korn_graubard(miss, groups, 0.9)[0] < korn_graubard(miss, groups, 0.95)[0]


def test_without_a_miss_groups_change_nothing():
    bound = upper_bound(np.zeros(20, bool), np.repeat([0, 1, 2, 3], 5), 0.9)
    assert (bound.bound, bound.design_effect) == ("clopper-pearson", 1.0)
    assert bound.upper == fnr_upper_bound(0, 20, 0.9)


def test_effective_counts_where_clustering_cannot_be_seen():
    none = effective(np.zeros(1), np.zeros(1), np.zeros((1, 3)), np.zeros(1, int), 0.95)
    assert (none.misses[0], none.positives[0], none.design_effect[0]) == (0, 0, 1)
    alone = effective(np.array([1.0]), np.array([4.0]), np.array([[1.0, 4.0, 16.0]]), np.array([1]), 0.95)
    assert (alone.misses[0], alone.positives[0], alone.design_effect[0]) == (1, 4, 1)


def test_effective_counts_of_two_small_groups_by_hand():
    # Groups with 1 of 1 missed and 0 of 1: variance 2 (1/4 + 1/4) = 1, binomial 2/4: effect 2; equal quantiles: size 1.
    found = effective(np.array([1.0]), np.array([2.0]), np.array([[1.0, 1.0, 2.0]]), np.array([2]), 0.95)
    assert found.design_effect[0] == pytest.approx(2)
    assert found.positives[0] == pytest.approx(1)
    assert found.misses[0] == pytest.approx(0.5)


def test_a_coverage_below_one_image_leaves_nothing_to_calibrate_on():
    gate = np.arange(5.0)
    # k = floor(.9 * 6) = 5: the acceptance threshold is the largest score, and no calibration image lies above it.
    found = scrc_t(gate, gate, np.ones(5), xi=0.1, alpha=0.5)
    assert (found.accept, found.positive, found.positives) == (4.0, float("-inf"), 0)
