"""Error rates among the images that a confidence accepts, and the coverage that a tolerated risk allows.

Images of one confidence are accepted together: at a coverage, the fewest of the surest images that make up at least
that share; at a threshold, every image at or above it. Every function has an interval: `interval(partial(selective_fnr,
coverage=0.8), confidence, prediction, label)`.
"""

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.resampling import WeightedStatistic
from stage1.metrics.weighted_curves import (
    weighted_coverage_at_risk,
    weighted_selective_accuracy,
    weighted_selective_fnr,
    weighted_selective_fpr,
)


def selective_accuracy(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> float:
    """Return the share of right predictions (0/1) among the accepted; NaN when a threshold accepts nothing.

    >>> selective_accuracy([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], [1, 0, 0, 0], coverage=0.75)
    0.6666666666666666
    """
    statistic = weighted_selective_accuracy(confidence_N, prediction_N, label_N, coverage=coverage, threshold=threshold)
    return _plain(statistic, confidence_N)


def selective_fnr(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> float:
    """Return the share of misses among the accepted positives; NaN when no positive is accepted.

    >>> selective_fnr([0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0], [1, 1, 1, 0], threshold=0.8)
    0.5
    """
    statistic = weighted_selective_fnr(confidence_N, prediction_N, label_N, coverage=coverage, threshold=threshold)
    return _plain(statistic, confidence_N)


def selective_fpr(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> float:
    """Return the share of false alarms among the accepted negatives; NaN when no negative is accepted."""
    statistic = weighted_selective_fpr(confidence_N, prediction_N, label_N, coverage=coverage, threshold=threshold)
    return _plain(statistic, confidence_N)


def coverage_at_risk(confidence_N: ArrayLike, error_N: ArrayLike, *, risk: float) -> float:
    """Return the largest coverage at which at most a share `risk` of the accepted is wrong; 0 when there is none.

    The largest of all: the risk may rise above `risk` and come back below it. `risk` means what is written: 1 error of
    10 accepted is within 0.1. A description of this sample, not a promise (see stage1.conformal for those).

    >>> coverage_at_risk([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 0], risk=0.25)
    1.0
    """
    return _plain(weighted_coverage_at_risk(confidence_N, error_N, risk=risk), confidence_N)


def _plain(statistic: WeightedStatistic, rows_N: ArrayLike) -> float:
    return float(statistic(np.ones((1, len(np.asarray(rows_N)))))[0])
