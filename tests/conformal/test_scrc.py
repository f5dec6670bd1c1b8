"""SCRC: the transductive rule it stands for, its promise over accepted images, and what SCRC-I refuses."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stage1.conformal import crc_threshold, scrc_t
from stage1.errors import BadData


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


@pytest.mark.parametrize("positives", [0, 1])
def test_without_enough_accepted_positives_every_set_holds_class_one(positives):
    label = np.arange(60) < positives
    found = scrc_t(np.arange(60.0)[::-1], np.arange(60.0), label, xi=0.8, alpha=0.02)
    assert (found.positive, found.positives) == (-np.inf, positives)
    assert found.accept == 11.0  # floor(.2 * 61) = 12 images of the 61, the test image among them, are not accepted


def test_all_scores_equal_accept_all_and_miss_nothing():
    found = scrc_t(np.zeros(100), np.zeros(100), np.ones(100), xi=0.8, alpha=0.1)
    assert (found.accept, found.positive) == (0.0, 0.0)


def test_float32_gives_the_thresholds_of_float64():
    rng = np.random.default_rng(0)
    gate, score = rng.normal(size=(2, 400)).astype(np.float32)
    label = rng.random(400) < 0.5
    wide = scrc_t(gate.astype(np.float64), score.astype(np.float64), label, xi=0.8, alpha=0.1)
    assert scrc_t(gate, score, label, xi=0.8, alpha=0.1) == wide
    assert crc_threshold(score, 0.1) == crc_threshold(score.astype(np.float64), 0.1)
