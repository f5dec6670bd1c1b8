"""Conformal risk control: the index in whole fractions, the promise, and the published bound that breaks it."""

import json
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.conformal import allowed_losses, crc_needs, crc_threshold
from stage1.errors import BadData

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"


@given(st.integers(0, 2000), st.integers(1, 99))
def test_the_index_is_whole_arithmetic(positives, percent):
    assert allowed_losses(positives, percent / 100) == (positives + 1) * percent // 100 - 1


def test_floats_would_lose_a_loss():
    # (99 + 1) * .29 is 28.999999999999996 in floats.
    assert floor(100 * 0.29) == 28
    assert allowed_losses(99, 0.29) == 29 - 1


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60), st.integers(1, 99))
def test_the_threshold_is_the_largest_that_the_bound_allows(scores, percent):
    scores = np.array(scores, dtype=float)
    alpha = percent / 100
    threshold = crc_threshold(scores, alpha)
    allowed = floor((len(scores) + 1) * Fraction(percent, 100)) - 1
    assert (scores < threshold).sum() <= max(allowed, 0)
    if allowed < 0:
        assert threshold == -np.inf
    else:
        higher = scores[scores > threshold]
        assert not len(higher) or (scores < higher.min()).sum() > allowed


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_the_threshold_grows_with_alpha(scores, first, second):
    low, high = sorted((first, second))
    assert crc_threshold(scores, low) <= crc_threshold(scores, high)


def test_an_alpha_below_one_in_m_plus_one_calls_everything_positive():
    assert crc_threshold(np.arange(48.0), 0.02) == -np.inf
    assert crc_threshold(np.arange(49.0), 0.02) == 0.0
    assert crc_threshold([], 0.5) == -np.inf


@given(st.integers(1, 99), st.integers(0, 20))
def test_the_number_needed_is_the_first_that_may_miss_that_often(percent, misses):
    needed = crc_needs(percent / 100, misses)
    assert allowed_losses(needed, percent / 100) >= misses
    assert allowed_losses(needed - 1, percent / 100) < misses


def test_no_alpha_and_no_negative_number_of_misses():
    assert crc_needs(0.02) == 49
    with pytest.raises(BadData, match="misses must be at least 0, got -1"):
        crc_needs(0.1, -1)
    with pytest.raises(BadData, match="alpha"):
        crc_needs(1.0)


def test_one_positive_equal_scores_and_infinite_scores():
    assert crc_threshold([3.0], 0.5) == 3.0
    assert crc_threshold([3.0], 0.49) == -np.inf
    assert crc_threshold(np.full(100, 7.0), 0.1) == 7.0
    # A probability of exactly 0 or 1 as log-odds: still an order.
    assert crc_threshold([-np.inf, 0.0, np.inf], 0.25) == -np.inf
    assert crc_threshold([-np.inf, 0.0, np.inf], 0.5) == 0.0


def mean_risk(index, positives=100, runs=20_000, seed=0):
    """Mean true FNR of 'positive iff score >= s[index]' over uniform scores: the uniform order statistic itself."""
    rng = np.random.default_rng(seed)
    return float(np.mean([np.sort(rng.random(positives))[index] for _ in range(runs)]))


def test_the_published_ceil_is_one_loss_too_many():
    positives, alpha = 100, 0.02
    published = ceil((positives + 1) * Fraction(2, 100)) - 1
    ours = allowed_losses(positives, alpha)
    assert (ours, published) == (1, 2)
    error = 3 * 0.0168 / np.sqrt(20_000)  # three standard errors of the mean of a Beta(3, 98)
    assert mean_risk(published) == pytest.approx(3 / 101, abs=error)  # 2.97 %
    assert mean_risk(published) > alpha + 5 * error
    assert mean_risk(ours) == pytest.approx(2 / 101, abs=error)


@pytest.mark.parametrize("scores", [[np.nan, 1.0], [[1.0]]])
def test_bad_scores_are_refused(scores):
    with pytest.raises(BadData, match="positive scores"):
        crc_threshold(scores, 0.1)


def test_a_bad_alpha_is_refused():
    with pytest.raises(BadData, match=r"alpha must lie in \(0, 1\), got 0"):
        crc_threshold([1.0], 0)


@pytest.mark.realdata
@pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/reference is not here")
@pytest.mark.parametrize("alpha", ["0.01", "0.05", "0.1", "0.2"])
def test_the_reference_on_its_grid_of_thousandths(alpha):
    expected = json.loads((FOLDER / "values.json").read_text())["binary_lenet_truck_vs_rest"]["crc"][alpha]
    arrays = np.load(FOLDER / "binary_lenet_truck_vs_rest.npz")
    scores, label = arrays["p"], arrays["y"]
    positives = scores[:5000][label[:5000] == 1]
    assert len(positives) == expected["n_pos_cal"]
    grid = floor(crc_threshold(positives, float(alpha)) * 1000) / 1000
    assert grid == expected["lambda_hat"]
    assert (positives < grid).mean() == pytest.approx(expected["fnr_cal"], abs=1e-12)
    assert (scores[5000:][label[5000:] == 1] < grid).mean() == pytest.approx(expected["fnr_eval"], abs=1e-12)
    assert (scores[5000:][label[5000:] == 0] >= grid).mean() == pytest.approx(expected["fpr_eval"], abs=1e-12)
