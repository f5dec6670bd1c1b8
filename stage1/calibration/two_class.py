"""The Dirichlet fit at K = 2: beta calibration of the margin d = z1 - z0, held monotone.

The log-odds are a ln p_1 - c ln p_0 + b with a = W_11 - W_01, c = W_00 - W_10 and b = b_1 - b_0. Every such map has a
diagonal W = diag(c, a), so at two classes the off-diagonal penalty costs nothing and changes nothing: ODIR's lambda is
inert here, whatever its value. What is left of the penalty is mu (b_0^2 + b_1^2), least at b_1 = -b_0 = b / 2.
"""

import numpy as np

from stage1.calibration.activations import Floats, softplus
from stage1.calibration.logistic import Minimum, fit_logistic
from stage1.calibration.rows import Rows, blocks

_IDENTITY = (1.0, 1.0, 0.0)
# Which of a, c, b are free when the unconstrained minimum has a negative a or c.
_FACES = ((1, 2), (0, 2), (2,))


def fit_two_class(
    rows: Rows, intercept_penalty: float, *, targets: tuple[float, float] = (0.0, 1.0)
) -> tuple[Minimum, bool]:
    """Return the minimum (a, c, b) with a, c >= 0, and whether one of these bounds holds it back."""
    ridge = np.array([0.0, 0.0, intercept_penalty / 2])
    found = fit_logistic(rows, _features, np.array(_IDENTITY), ridge=ridge, targets=targets)
    if found.parameters[:2].min() >= 0:
        return found, False
    # Convex: the constrained minimum then lies where a = 0, c = 0 or both.
    held = [_on_face(rows, list(face), ridge, targets) for face in _FACES]
    return min((face for face in held if face.parameters[:2].min() >= 0), key=lambda face: face.value), True


def two_class_log_odds(margin_N: Floats, a: float, c: float, b: float) -> Floats:
    """Return a ln p_1 - c ln p_0 + b; NaN where the margin is. In blocks, so that memory holds the result alone."""
    result = np.empty(len(margin_N))
    with np.errstate(invalid="ignore"):  # 0 * inf
        for block in blocks(len(margin_N)):
            d = margin_N[block]
            tail = np.log1p(np.exp(-np.abs(d)))
            result[block] = a * (np.minimum(d, 0.0) - tail) + c * (np.maximum(d, 0.0) + tail) + b
    return result


def two_class_loss(rows: Rows, parameters: Floats) -> float:
    """Return the summed negative log-likelihood of rows under (a, c, b)."""
    a, c, b = (float(value) for value in parameters)
    z = two_class_log_odds(rows.score_N, a, c, b)
    return float(rows.negatives_N @ softplus(z) + rows.positives_N @ softplus(-z))


def _on_face(rows: Rows, free: list[int], ridge_3: Floats, targets: tuple[float, float]) -> Minimum:
    """Return the minimum over some of (a, c, b), the others 0."""
    found = fit_logistic(
        rows, lambda d: _features(d)[:, free], np.array(_IDENTITY)[free], ridge=ridge_3[free], targets=targets
    )
    parameters = np.zeros(3)
    parameters[free] = found.parameters
    return Minimum(parameters, found.value, found.converged)


def _features(d_M: Floats) -> Floats:
    """Return ln p_1, -ln p_0 and 1 (M, 3)."""
    tail = np.log1p(np.exp(-np.abs(d_M)))
    return np.column_stack([np.minimum(d_M, 0.0) - tail, np.maximum(d_M, 0.0) + tail, np.ones(len(d_M))])
