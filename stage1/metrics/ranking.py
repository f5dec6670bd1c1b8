"""How well a score separates two classes: AUROC, of the label or of failure."""

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import binary, scored


def auroc(score_N: ArrayLike, label_N: ArrayLike) -> float:
    """Return P(a positive scores above a negative), ties counting half; NaN when a class is missing.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    score, label = scored(score_N, label_N, "score", "label")
    negatives = np.sort(score[~label])
    positives = score[label]
    if not len(negatives) or not len(positives):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return float((below + not_above).sum(dtype=np.float64)) / 2 / len(negatives) / len(positives)


def failure_auroc(confidence_N: ArrayLike, error_N: ArrayLike) -> float:
    """Return P(a right prediction is surer than a wrong one); NaN when all are right or all wrong."""
    return auroc(confidence_N, ~binary("error", error_N))
