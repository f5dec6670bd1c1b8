"""Platt scaling: the logistic fit, separable data said and bounded, a negative slope as a finding, exact JSON."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from stage1.calibration import Platt
from stage1.calibration.findings import NOT_CONVERGED, ONE_CLASS
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
    assert platt.findings == (ONE_CLASS,)


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


def test_scikit_learn_agrees():
    score, label = simulated(0.7, -0.4)
    peer = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(score[:, None], label)
    found = Platt().fit(score, label)
    assert (found.slope, found.intercept) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), rel=1e-6)


@pytest.mark.parametrize("slope", [-1, 1])
def test_perfect_and_perfectly_wrong_scores(slope):
    platt = Platt().fit(slope * np.linspace(-1, 1, 40), np.repeat([0, 1], 20))
    assert np.sign(platt.slope) == slope
    assert [sentence[:15] for sentence in platt.findings] == ["The scores sepa"] + ["The slope is no"] * (slope < 0)
    assert platt.apply(slope * np.linspace(-1, 1, 40)).min() > 1e-3


def test_a_fit_that_did_not_converge_is_dropped_and_said(monkeypatch):
    monkeypatch.setattr("stage1.calibration.logistic.MAX_STEPS", 1)
    assert Platt().fit(*simulated(0.7, -0.4)) == Platt(1.0, 0.0, (NOT_CONVERGED,))


def test_one_positive_is_enough_for_a_finite_fit():
    platt = Platt().fit([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 0])
    assert platt.findings == ()
    assert platt.apply([0.0, 1.0, 2.0, 3.0]).sum() == pytest.approx(1, abs=1e-9)


def test_float32_scores_give_the_map_of_float64():
    score, label = simulated(0.7, -0.4, 500)
    narrow = score.astype(np.float32)
    assert Platt().fit(narrow, label) == Platt().fit(narrow.astype(np.float64), label)


def test_labels_may_be_booleans_and_floats_but_whole():
    score, label = simulated(0.7, -0.4, 100)
    assert (
        Platt().fit(score, label.astype(bool)) == Platt().fit(score, label.astype(float)) == Platt().fit(score, label)
    )
    with pytest.raises(BadData, match=r"row 0 holds 0.5"):
        Platt().fit([1.0, 2.0], [0.5, 1.0])
    with pytest.raises(BadData, match=r"row 1 holds -1"):
        Platt().fit([1.0, 2.0], [0, -1])
    with pytest.raises(BadData, match="labels need whole numbers, got <U1"):
        Platt().fit([1.0, 2.0], ["0", "1"])


@pytest.mark.parametrize("field", ["slope", "intercept"])
def test_a_map_that_is_not_finite_is_refused(field):
    with pytest.raises(BadData, match="Platt needs a finite slope and intercept, got"):
        Platt.from_json({**Platt().to_json(), field: float("nan")})


def test_narrow_scores_are_widened_before_they_are_mapped():
    platt, narrow = Platt(0.3, 0.1), np.array([0.1, -3.7], dtype=np.float32)
    assert np.array_equal(platt.apply(narrow), platt.apply(narrow.astype(np.float64)))
    assert platt.apply(narrow).dtype == np.float64
