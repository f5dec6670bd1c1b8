"""SCRC-I: what both forms refuse and with which number, where thresholds lie, and that they keep their promise."""

from math import ceil, floor, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stage1.conformal import scrc_i, scrc_i_needs, scrc_i_v2, scrc_i_v2_needs
from stage1.errors import BadData, TooFewSamples


def drawn(num_images, seed=0, share=1.0):
    rng = np.random.default_rng(seed)
    return rng.random(num_images), rng.random(num_images), rng.random(num_images) < share


def test_the_numbers_needed_are_the_margins():
    assert scrc_i_needs(0.02, 0.05) == 4612  # ln(40) / (2 * .0004)
    assert scrc_i_needs(0.1, 0.1) == ceil(log(20) / 0.02)
    # ln(80) 1.02^2 / (2 * .0004 * share^2): METHODS' range of 7,000 to 36,000
    assert scrc_i_v2_needs(0.02, 0.05, 0.9) == 7036
    assert scrc_i_v2_needs(0.02, 0.05, 0.4) == 35618
    assert scrc_i_v2_needs(0.02, 0.05, 1) == ceil(log(80) * 1.0404 / 0.0008)


def test_scrc_i_refuses_with_the_number_that_is_needed():
    with pytest.raises(TooFewSamples, match=r"needs 4,612 accepted positives even without a miss, got [\d,]+\. Use"):
        scrc_i(*drawn(4000), xi=0.5, alpha=0.02, delta=0.05)
    with pytest.raises(TooFewSamples, match=r"coverage 0.9, delta=0.05 needs 185 images, got 184"):
        scrc_i(*drawn(184), xi=0.9, alpha=0.02, delta=0.05)
    with pytest.raises(TooFewSamples, match="accepted positives even without a miss"):  # enough images, by one
        scrc_i(*drawn(185), xi=0.9, alpha=0.02, delta=0.05)


def test_scrc_i_takes_the_thresholds_of_its_margins():
    gate, score, label = drawn(3000, share=0.7)
    found = scrc_i(gate, score, label, xi=0.6, alpha=0.1, delta=0.1)
    margin = sqrt(log(20) / 2 / 3000)
    assert found.accept == np.sort(gate)[floor(3000 * (0.4 - margin))]
    accepted = np.sort(score[label & (gate > found.accept)])
    losses = floor(len(accepted) * (0.1 - sqrt(log(20) / 2 / len(accepted))))
    assert losses > 0
    assert (found.positive, found.positives) == (accepted[losses], len(accepted))


def test_the_image_at_the_threshold_calibrates_only_where_it_has_company():
    """All positives; the alone image at the threshold has the lowest score and does not count."""
    gate = np.arange(2000.0)
    score = np.arange(2000.0)
    alone = scrc_i(gate, score, np.ones(2000), xi=0.5, alpha=0.1, delta=0.1)
    assert alone.positives == (gate > alone.accept).sum()
    shared = scrc_i(np.floor(gate / 2), score, np.ones(2000), xi=0.5, alpha=0.1, delta=0.1)
    assert shared.positives == (np.floor(gate / 2) >= shared.accept).sum()


def test_exactly_enough_accepted_positives_allow_no_loss():
    needed = scrc_i_needs(0.1, 0.1)
    images = 2000
    gate = np.arange(float(images))
    label = gate >= images - needed
    found = scrc_i(gate, gate, label, xi=0.5, alpha=0.1, delta=0.1)
    assert (found.positive, found.positives) == (images - needed, needed)
    with pytest.raises(TooFewSamples):
        scrc_i(gate, gate, gate > images - needed, xi=0.5, alpha=0.1, delta=0.1)


def test_scrc_i_keeps_both_promises_with_probability():
    broken = 0
    for seed in range(400):
        found = scrc_i(*drawn(1200, seed), xi=0.7, alpha=0.1, delta=0.1)
        # Independent uniforms: the true coverage is 1 - accept, the true miss rate is the threshold.
        broken += (1 - found.accept < 0.7) or (found.positive > 0.1)
    assert broken / 400 <= 0.1


def test_v2_refuses_with_the_number_that_is_needed():
    gate, score, label = drawn(7000)
    label[:] = True
    share = (gate >= 0.1).mean()
    needed = scrc_i_v2_needs(0.02, 0.05, share)
    message = rf"needs {needed:,} calibration images .* when {share:.1%} of them are accepted positives, got 7,000"
    with pytest.raises(TooFewSamples, match=message):
        scrc_i_v2(gate, score, label, accept=0.1, alpha=0.02, delta=0.05)
    with pytest.raises(TooFewSamples, match="none of 7,000 calibration images is one"):
        scrc_i_v2(gate, score, np.zeros(7000), accept=0.1, alpha=0.02, delta=0.05)


@settings(deadline=None)
@given(st.sampled_from([0.02, 0.05, 0.1]), st.sampled_from([0.05, 0.1]), st.floats(0.3, 1))
def test_v2_is_feasible_from_the_number_needed_on(alpha, delta, share):
    images = scrc_i_v2_needs(alpha, delta, share)
    positives = ceil(share * images)
    label = np.arange(images) < positives
    found = scrc_i_v2(np.zeros(images), np.arange(float(images)), label, accept=0.0, alpha=alpha, delta=delta)
    assert found.positives == positives
    fewer = label & (np.arange(images) < share * images * 0.99 - 1)
    with pytest.raises(TooFewSamples):
        scrc_i_v2(np.zeros(images), np.arange(float(images)), fewer, accept=0.0, alpha=alpha, delta=delta)


def test_v2_takes_the_largest_threshold_whose_ratio_of_bounds_meets_alpha():
    gate, score, label = drawn(20_000, share=0.8)
    found = scrc_i_v2(gate, score, label, accept=0.2, alpha=0.05, delta=0.05)
    accepted = np.sort(score[label & (gate >= 0.2)])
    margin = sqrt(log(80) / 2 / 20_000)

    def ratio(misses):
        return (misses / 20_000 + margin) / (len(accepted) / 20_000 - margin)

    misses = int((accepted < found.positive).sum())
    assert misses > 0
    assert ratio(misses) <= 0.05 < ratio(misses + 1)
    assert (found.accept, found.positives) == (0.2, len(accepted))


def test_v2_keeps_its_promise_with_probability():
    found = [scrc_i_v2(*drawn(4000, seed, 0.8), accept=0.1, alpha=0.1, delta=0.1).positive for seed in range(300)]
    assert np.mean(np.array(found) > 0.1) <= 0.1
    assert np.mean(found) > 0.02  # and answers


@pytest.mark.parametrize("xi", [0, 1])
def test_coverages_beyond_its_reach_are_refused(xi):
    with pytest.raises(BadData, match=rf"xi must lie in \(0, 1\), got {xi}"):
        scrc_i([1.0], [1.0], [1], xi=xi, alpha=0.1, delta=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scrc_i_needs(0.0, 0.1), "alpha"),
        (lambda: scrc_i_needs(0.1, 1.0), "delta"),
        (lambda: scrc_i_v2_needs(0.1, 0.1, 0.0), r"share must lie in \(0, 1\], got 0.0"),
        (lambda: scrc_i_v2_needs(0.1, 0.1, 1.1), r"share must lie in \(0, 1\], got 1.1"),
        (lambda: scrc_i_v2_needs(1.0, 0.1, 0.5), r"alpha must lie in \(0, 1\), got 1.0"),
        (lambda: scrc_i_v2_needs(0.1, 0.0, 0.5), r"delta must lie in \(0, 1\), got 0.0"),
        (lambda: scrc_i_v2([1.0], [1.0], [1], accept=0, alpha=0.1, delta=0.0), "delta"),
        (lambda: scrc_i_v2([1.0], [1.0], [1], accept=0, alpha=1.0, delta=0.1), "alpha"),
        (lambda: scrc_i_v2([np.nan], [1.0], [1], accept=0, alpha=0.1, delta=0.1), "must not be NaN"),
        (lambda: scrc_i([1.0], [np.nan], [1], xi=0.5, alpha=0.1, delta=0.1), "must not be NaN"),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(BadData, match=message):
        call()
