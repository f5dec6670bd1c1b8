"""SCRC: the transductive rule it stands for, its promise over accepted images, and what SCRC-I refuses."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stage1.conformal import crc_threshold, scrc_i, scrc_i_needs, scrc_t
from stage1.errors import BadData, TooFewSamples


def transductive(gate, score, label, test_gate, xi, alpha):
    """The rule as written: threshold from calibration and test scores together; (accepted, set threshold)."""
    union = np.sort(np.append(gate, test_gate))
    level = union[floor((1 - Fraction(str(xi))) * (len(gate) + 1))]
    return test_gate >= level, crc_threshold(score[label & (gate >= level)], alpha)


@settings(deadline=None)
@given(st.integers(5, 60), st.sampled_from([0.3, 0.5, 0.8, 0.9, 1.0]), st.integers(0, 10_000))
def test_the_static_rule_is_the_transductive_one_without_ties(num_images, xi, seed):
    rng = np.random.default_rng(seed)
    gate, score, label = rng.normal(size=num_images), rng.normal(size=num_images), rng.random(num_images) < 0.6
    found = scrc_t(gate, score, label, xi=xi, alpha=0.1)
    for test_gate in rng.normal(size=20):
        accepted, threshold = transductive(gate, score, label, test_gate, xi, 0.1)
        assert accepted == (test_gate >= found.accept)
        if accepted:
            assert threshold == found.positive


@settings(deadline=None)
@given(st.integers(5, 40), st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 10_000))
def test_with_ties_the_static_rule_is_never_less_safe(num_images, xi, seed):
    rng = np.random.default_rng(seed)
    gate, score = rng.integers(0, 4, num_images).astype(float), rng.integers(0, 6, num_images).astype(float)
    label = rng.random(num_images) < 0.6
    found = scrc_t(gate, score, label, xi=xi, alpha=0.2)
    for test_gate in range(5):
        accepted, threshold = transductive(gate, score, label, float(test_gate), xi, 0.2)
        assert accepted == (test_gate >= found.accept)
        if accepted:
            assert found.positive <= threshold


def test_the_acceptance_index_is_whole_arithmetic():
    # xi = .8, n = 4: (1 - .8) * 5 is 1 exactly, .9999999999999998 in floats.
    assert floor((1 - 0.8) * 5) == 0
    gate = np.array([1.0, 2.0, 3.0, 4.0])
    assert scrc_t(gate, gate, np.ones(4), xi=0.8, alpha=0.5).accept == 1.0


def test_full_coverage_accepts_everything():
    found = scrc_t([3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1, 1, 1], xi=1, alpha=0.5)
    assert found.accept == -np.inf
    assert (found.positive, found.positives) == (crc_threshold([1.0, 2.0, 3.0], 0.5), 3)


def test_scrc_t_keeps_its_promise_and_its_coverage_in_expectation():
    """Mean miss rate among accepted new positives <= alpha, and not needlessly far below."""
    rng = np.random.default_rng(0)
    alpha, xi, misses, positives, accepted = 0.05, 0.8, 0, 0, 0
    for _ in range(1500):
        label = rng.random(300) < 0.5
        score = rng.normal(size=300) + 2 * label
        gate = np.abs(score - 1) + rng.normal(size=300)
        found = scrc_t(gate[:200], score[:200], label[:200], xi=xi, alpha=alpha)
        taken = gate[200:] >= found.accept
        misses += (taken & label[200:] & (score[200:] < found.positive)).sum()
        positives += (taken & label[200:]).sum()
        accepted += taken.sum()
    assert misses / positives <= alpha
    assert misses / positives >= alpha - 1.5 / 80  # about 80 accepted positives: at most one whole loss of slack
    assert accepted / 150_000 == pytest.approx(xi, abs=0.01)


def test_scrc_i_refuses_with_the_number_that_is_needed():
    assert scrc_i_needs(0.02, 0.05) == 4612  # ln(40) / (2 * .0004)
    rng = np.random.default_rng(0)
    with pytest.raises(TooFewSamples, match=r"needs 4,612 accepted positives even without a miss, got [\d,]+\. Use"):
        scrc_i(rng.random(4000), rng.random(4000), np.ones(4000), xi=0.5, alpha=0.02, delta=0.05)
    with pytest.raises(TooFewSamples, match="needs 185 images, got 184"):
        scrc_i(rng.random(184), rng.random(184), np.ones(184), xi=0.9, alpha=0.02, delta=0.05)


def test_scrc_i_keeps_both_promises_with_probability():
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(400):
        score = rng.random(1200)
        gate = rng.random(1200)
        found = scrc_i(gate, score, np.ones(1200), xi=0.7, alpha=0.1, delta=0.1)
        # Independent uniforms: the true coverage is 1 - accept, the true miss rate is the threshold.
        broken += (1 - found.accept < 0.7) or (found.positive > 0.1)
    assert broken / 400 <= 0.1


@pytest.mark.parametrize(
    ("gate", "score", "label", "xi", "message"),
    [
        ([1.0], [1.0, 2.0], [1, 1], 0.5, "one row per image"),
        ([], [], [], 0.5, "one row per image"),
        ([np.nan], [1.0], [1], 0.5, "must not be NaN"),
        ([1.0], [1.0], [2], 0.5, "labels must be 0 or 1"),
        ([1.0], [1.0], [1], 0.0, r"xi must lie in \(0, 1\], got 0"),
    ],
)
def test_bad_calibration_data_is_refused(gate, score, label, xi, message):
    with pytest.raises(BadData, match=message):
        scrc_t(gate, score, label, xi=xi, alpha=0.1)


def test_scrc_i_refuses_full_coverage():
    with pytest.raises(BadData, match=r"xi must lie in \(0, 1\), got 1"):
        scrc_i([1.0], [1.0], [1], xi=1, alpha=0.1, delta=0.1)
