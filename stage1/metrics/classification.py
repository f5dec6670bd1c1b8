"""Numbers of a hard decision: accuracy and Matthews' correlation."""

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import predicted


def accuracy(prediction_N: ArrayLike, label_N: ArrayLike) -> float:
    """Return the share of predictions (0/1) that equal the label."""
    prediction, label = predicted(prediction_N, label_N)
    return float((prediction == label).mean())


def mcc(prediction_N: ArrayLike, label_N: ArrayLike) -> float:
    """Return Matthews' correlation coefficient, in [-1, 1]; NaN when a margin of the confusion matrix is empty.

    >>> mcc([1, 1, 0, 0], [1, 1, 0, 0])
    1.0
    """
    prediction, label = predicted(prediction_N, label_N)
    return float(correlation(*(float(cell.sum()) for cell in confusion(prediction, label))))


def confusion(prediction: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return indicators of true positives, false negatives, true negatives and false positives."""
    return prediction & label, ~prediction & label, ~prediction & ~label, prediction & ~label


def correlation(tp: float, fn: float, tn: float, fp: float) -> float:
    """Return MCC from counts."""
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / product**0.5 if product > 0 else float("nan")
