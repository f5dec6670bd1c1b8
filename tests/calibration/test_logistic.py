"""Newton's method for logistic regression: the minimum by other means, soft targets, ridge, flat directions."""

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from stage1.calibration.logistic import _evaluate, fit_logistic
from stage1.calibration.rows import Rows


def features(block):
    return np.column_stack([block, np.abs(block), np.ones(len(block))])


def drawn(num_rows=300, seed=0):
    rng = np.random.default_rng(seed)
    return Rows(
        rng.normal(size=num_rows), rng.integers(0, 4, num_rows).astype(float), rng.integers(1, 3, num_rows) * 1.0
    )


@pytest.mark.parametrize("targets", [(0.0, 1.0), (0.1, 0.8)])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_it_is_the_minimum_of_the_weighted_loss(targets, ridge):
    rows, penalty = drawn(), np.array([0.0, ridge, ridge])
    x = features(rows.score_N)
    images = rows.negatives_N + rows.positives_N
    hits = targets[0] * rows.negatives_N + targets[1] * rows.positives_N

    def loss(at):
        z = x @ at
        return (images @ np.logaddexp(0, z) - hits @ z) / images.sum() + penalty @ at**2

    found = fit_logistic(rows, features, np.zeros(3), ridge=penalty, targets=targets)
    peer = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    assert found.converged
    assert found.parameters == pytest.approx(peer.x, abs=1e-6)
    assert found.value == pytest.approx(loss(found.parameters), abs=1e-12)


def test_gradient_and_hessian_are_those_of_the_value():
    rows, ridge = drawn(), np.array([0.1, 0.0, 0.2])
    at = np.array([0.4, -0.3, 0.2])

    def point(x):
        return _evaluate(rows, features, x, ridge, (0.2, 0.9))

    assert check_grad(lambda x: point(x).value, lambda x: point(x).slope, at) < 1e-6
    for index, row in enumerate(np.eye(3)):
        numeric = (point(at + 1e-6 * row).slope - point(at - 1e-6 * row).slope) / 2e-6
        assert point(at).curvature[index] == pytest.approx(numeric, abs=1e-8)


def test_blocks_add_up(monkeypatch):
    rows = drawn(1000)
    whole = fit_logistic(rows, features, np.zeros(3), ridge=np.zeros(3))
    monkeypatch.setattr("stage1.calibration.rows.BLOCK", 64)
    parts = fit_logistic(rows, features, np.zeros(3), ridge=np.zeros(3))
    assert parts.parameters == pytest.approx(whole.parameters, abs=1e-10)


def test_steps_that_overshoot_are_halved():
    """From a start far out, where the curvature is almost nil, a full Newton step would land further away."""
    rows = Rows.of(np.linspace(-1, 1, 101), (np.arange(101) % 3 == 0).astype(int))
    plain = fit_logistic(rows, lambda s: np.column_stack([s, np.ones(len(s))]), np.zeros(2), ridge=np.zeros(2))
    far = fit_logistic(rows, lambda s: np.column_stack([s, np.ones(len(s))]), np.array([0.0, 6.0]), ridge=np.zeros(2))
    assert far.converged
    assert far.parameters == pytest.approx(plain.parameters, abs=1e-7)


def test_a_direction_without_effect_stays_where_it_starts():
    rows = Rows.of(np.zeros(10), (np.arange(10) < 3).astype(int))
    found = fit_logistic(rows, lambda s: np.column_stack([s, np.ones(len(s))]), np.array([7.0, 0.0]), ridge=np.zeros(2))
    assert found.parameters == pytest.approx([7.0, np.log(3 / 7)], abs=1e-9)


def test_too_few_steps_are_said(monkeypatch):
    monkeypatch.setattr("stage1.calibration.logistic.MAX_STEPS", 2)
    found = fit_logistic(drawn(), features, np.zeros(3), ridge=np.zeros(3))
    assert found.converged is False
    assert 0 < found.value < 1
