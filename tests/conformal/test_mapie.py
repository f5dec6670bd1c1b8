"""MAPIE's risk control where it and ours promise the same: p-values, learn then test, conformal risk control."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController, MultiLabelClassificationController, recall
from mapie.risk_control._base_controller import ltt_procedure
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from stage1.conformal import allowed_losses, crc_threshold, hoeffding_bentkus_p_values, ltt, p_values

# Shares with a short binary form, so that MAPIE's n * mean is exactly the sum that ours is given.
SIZES = st.sampled_from([64, 128, 512, 1024, 4096])
ALPHAS = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3])


@given(SIZES, st.integers(0, 4096), ALPHAS)
def test_hoeffding_bentkus_is_mapies(samples, quarters, alpha):
    losses = min(quarters, 4 * samples - 1) / 4  # MAPIE takes log 0 when everything is lost
    theirs = compute_hoeffding_bentkus_p_value(np.array([losses / samples]), samples, alpha)[0, 0]
    assert hoeffding_bentkus_p_values([losses], [samples], alpha)[0] == pytest.approx(theirs, rel=1e-9, abs=1e-300)


@given(SIZES, st.integers(0, 4096), ALPHAS)
def test_mapies_binary_p_value_is_never_above_our_exact_one(samples, misses, alpha):
    """For 0/1 losses MAPIE takes the smaller of Hoeffding's bound and the exact tail, which is the exact tail."""
    misses = min(misses, samples - 1)
    theirs = compute_hoeffding_bentkus_p_value(np.array([misses / samples]), samples, alpha, binary=True)[0, 0]
    assert p_values([misses], [samples], alpha)[0] == pytest.approx(theirs, rel=1e-7, abs=1e-14)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), ALPHAS, st.sampled_from([0.05, 0.1]))
def test_learn_then_test_certifies_the_same_candidates(steps, alpha, delta):
    misses = np.cumsum(steps)
    samples = np.full(len(misses), 1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAPIE warns where nothing is certified
        valid, _ = ltt_procedure(
            (misses / 1024)[None, :],
            np.array([[alpha]]),
            delta,
            samples[None, :].astype(float),
            binary=True,
            fwer_method="fixed_sequence",
        )
    assert ltt(misses, samples, alpha, delta) == len(valid[0])


def simulated(num_images, seed):
    rng = np.random.default_rng(seed)
    label = (rng.random(num_images) < 0.5).astype(int)
    return 1 / (1 + np.exp(-rng.normal(size=num_images) - 2 * label)), label


@pytest.mark.parametrize("seed", range(3))
def test_recall_is_certified_at_the_same_thresholds(seed):
    """MAPIE's controller on thresholds 0, .01, ...: recall >= 1 - alpha with probability .95."""
    score, label = simulated(2000, seed)
    thresholds, alpha = np.linspace(0, 0.99, 100), 0.1
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x, x]),
        risk=recall,
        target_level=1 - alpha,
        confidence_level=0.95,
        best_predict_param_choice="precision",
        list_predict_params=thresholds,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(score, label)
    positives = score[label == 1]
    misses = (positives[None, :] < thresholds[:, None]).sum(axis=1)
    certified = ltt(misses, np.full(100, len(positives)), alpha, 0.05)
    assert 0 < certified < 100
    assert np.sort(controller.valid_predict_params) == pytest.approx(thresholds[:certified])


@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1])
def test_conformal_risk_control_takes_the_same_threshold(alpha):
    """MAPIE's CRC on its grid of hundredths: the last one at which (misses + 1) / (m + 1) is below alpha.

    MAPIE wants a strict inequality, ours allows equality, as the theorem does; m + 1 = 1,013 makes neither possible.
    """
    rng = np.random.default_rng(3)
    positives = 0.001 + 0.99 * rng.beta(4, 1, size=1012)
    controller = MultiLabelClassificationController(
        predict_function=lambda x: x, method="crc", risk="recall", target_level=1 - alpha
    )
    controller.calibrate(positives[:, None], np.ones((1012, 1), dtype=int))
    theirs = float(np.ravel(controller.best_predict_param)[0])
    ours = crc_threshold(positives, alpha)
    assert theirs <= ours < theirs + 0.01
    assert (positives < theirs).sum() <= allowed_losses(1012, alpha) < (positives < theirs + 0.01).sum()


def test_the_exact_tail_is_the_binomials():
    assert p_values([3], [500], 0.02)[0] == pytest.approx(binom.cdf(3, 500, 0.02), rel=1e-9)
