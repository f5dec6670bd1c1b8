"""Platt scaling: the logistic fit, separable data said and bounded, a negative slope as a finding, exact JSON."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize

from stage1.calibration import Platt
from stage1.errors import BadData


def simulated(slope, intercept, num_images=2000, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(scale=2, size=num_images)
    return score, (rng.random(num_images) < 1 / (1 + np.exp(-slope * score - intercept))).astype(int)


def test_the_fit_is_the_maximum_of_the_likelihood():
    score, label = simulated(0.7, -0.4)
    found = minimize(lambda w: np.logaddexp(0, -(2 * label - 1) * (w[0] * score + w[1])).sum(), [1.0, 0.0], tol=1e-12)
    platt = Platt().fit(score, label)
    assert (platt.slope, platt.intercept) == pytest.approx(tuple(found.x), abs=1e-5)
    assert platt.findings == ()
    assert platt.apply(score).mean() == pytest.approx(label.mean(), abs=1e-8)


def test_the_fit_does_not_mind_shift_and_scale():
    score, label = simulated(0.7, -0.4)
    plain, moved = Platt().fit(score, label), Platt().fit(1e4 + 1e-3 * score, label)
    assert moved.apply(1e4 + 1e-3 * score) == pytest.approx(plain.apply(score), abs=1e-6)


def test_a_negative_slope_is_a_finding():
    score, label = simulated(-0.7, 0.0)
    platt = Platt().fit(score, label)
    assert platt.slope < 0
    assert len(platt.findings) == 1
    assert "does not rank the positives higher" in platt.findings[0]


@pytest.mark.parametrize("touching", [0.0, 0.5])
def test_separable_scores_are_said_and_stay_finite(touching):
    score = np.concatenate([np.linspace(-3, 0, 20) - touching, np.linspace(0, 3, 20) + touching])
    label = np.repeat([0, 1], 20)
    platt = Platt().fit(score, label)
    assert "separate the classes" in platt.findings[0]
    # Platt's targets are 1/22 and 21/22; at the maximum the residuals are orthogonal to 1 and to the score.
    residual = platt.apply(score) - np.repeat([1 / 22, 21 / 22], 20)
    assert residual.mean() == pytest.approx(0, abs=1e-7)
    assert (residual * score).mean() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_platts_constant(label):
    platt = Platt().fit([1.0, 2.0, 3.0], [label] * 3)
    assert platt.apply([0.0, 9.0]) == pytest.approx([(4 if label else 1) / 5] * 2)
    assert platt.findings == (
        "Only one class was given, so the score cannot be judged; the probability is a constant (Platt's target).",
    )


def test_equal_scores_give_the_share_of_positives():
    platt = Platt().fit(np.zeros(10), [1] * 3 + [0] * 7)
    assert platt.apply([0.0]) == pytest.approx([0.3], abs=1e-6)
    assert len(platt.findings) == 1


def test_extreme_scores_do_not_overflow():
    assert Platt(1.0, 0.0).apply([-1e308, -800.0, 0.0, 800.0, 1e308]).tolist() == [0, 0, 0.5, 1, 1]


def test_json_is_exact():
    platt = Platt().fit(*simulated(0.3, 0.1, 50))
    back = Platt.from_json(json.loads(json.dumps(platt.to_json())))
    assert back == platt


@pytest.mark.parametrize(
    ("score", "label", "message"),
    [
        ([1.0, np.inf], [0, 1], "score must be finite; row 1 of 2"),
        ([], [], "one number per image"),
        ([1.0, 2.0], [0, 3], "classes 0 to 1; row 1 holds 3"),
        ([1.0, 2.0], [0], "for each of 2 images"),
    ],
)
def test_bad_input_is_refused(score, label, message):
    with pytest.raises(BadData, match=message):
        Platt().fit(score, label)


def test_incomplete_json_is_refused():
    with pytest.raises(BadData, match="Platt needs slope, intercept and findings"):
        Platt.from_json({"slope": 1.0})
