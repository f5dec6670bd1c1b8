"""Logistic regression by Newton's method, in blocks: few parameters, any number of rows, soft targets, ridge.

Minimises, over the parameters x (P) of z = features @ x, the mean over images of softplus(z) - target * z, plus the sum
of ridge_P * x_P^2. The problem is convex; steps are halved until they help, and directions in which nothing changes
are left where they start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stage1.calibration.activations import Floats
from stage1.calibration.rows import Rows

MAX_STEPS = 100
_CONVERGED = 1e-18  # of the predicted fall of the mean loss: parameters are then exact to about 1e-9
_ROUNDING = 1e-15  # what a mean loss of order one is known to


@dataclass(frozen=True)
class Minimum:
    """Where the optimiser stopped: parameters (P), the objective there, and whether that is the minimum."""

    parameters: Floats
    value: float
    converged: bool


@dataclass(frozen=True)
class _Point:
    at: Floats
    value: float
    slope: Floats
    curvature: Floats


def fit_logistic(
    rows: Rows,
    features: Callable[[Floats], Floats],
    start: Floats,
    *,
    ridge: Floats,
    targets: tuple[float, float] = (0.0, 1.0),
) -> Minimum:
    """Return the minimum.

    Args:
        rows: Scores with their negatives and positives; at least one image.
        features: Scores (M) of a block to features (M, P).
        start: Parameters (P) to start from.
        ridge: Penalty (P) of each squared parameter, >= 0, beside the *mean* loss.
        targets: What a negative and a positive stand for, in [0, 1].
    """
    here = _evaluate(rows, features, start, ridge, targets)
    for _ in range(MAX_STEPS):
        step = -np.linalg.lstsq(here.curvature, here.slope)[0]
        fall = -float(here.slope @ step)
        if fall <= _CONVERGED:
            return Minimum(here.at + step, here.value, True)
        size = 1.0
        there = _evaluate(rows, features, here.at + step, ridge, targets)
        while there.value > here.value - 1e-4 * size * fall + _ROUNDING:
            size /= 2
            there = _evaluate(rows, features, here.at + size * step, ridge, targets)
        here = there
    return Minimum(here.at, here.value, False)


def _evaluate(
    rows: Rows,
    features: Callable[[Floats], Floats],
    at: Floats,
    ridge: Floats,
    targets: tuple[float, float],
) -> _Point:
    """Return the objective, its gradient and its Hessian."""
    value, slope, curvature = 0.0, np.zeros(len(at)), np.zeros((len(at), len(at)))
    for block in rows.blocks():
        x_MP = features(rows.score_N[block])
        negatives, positives = rows.negatives_N[block], rows.positives_N[block]
        images = (negatives + positives).astype(np.float64)
        hits = targets[0] * negatives + targets[1] * positives
        z = x_MP @ at
        tail = np.exp(-np.abs(z))
        probability = np.where(z >= 0, 1.0, tail) / (1.0 + tail)
        value += float(images @ (np.maximum(z, 0.0) + np.log1p(tail)) - hits @ z)
        slope += (images * probability - hits) @ x_MP
        curvature += (x_MP * (images * tail / (1.0 + tail) ** 2)[:, None]).T @ x_MP
    total = rows.num_negatives + rows.num_positives
    return _Point(
        at,
        value / total + float(ridge @ at**2),
        slope / total + 2 * ridge * at,
        curvature / total + np.diag(2 * ridge),
    )
