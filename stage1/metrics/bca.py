"""BCa intervals: the bootstrap's percentiles, moved for bias and for a spread that changes with the value."""

from statistics import NormalDist

import numpy as np

from stage1.metrics.arrays import Floats
from stage1.metrics.resampling import Interval, percentile

_NORMAL = NormalDist()


def bca(value: Floats | float, draws_R: Floats, left_out_G: Floats, confidence: float = 0.95) -> Interval:
    """Return the bias-corrected and accelerated interval of `draws_R` around `value`.

    Args:
        value: The statistic of the sample.
        draws_R: Its value on each resample; those that are not finite are left out.
        left_out_G: Its value without each image, group or block of them; those that are not finite are left out.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        NaN ends where every draw lies on one side of the value, so that the bias cannot be corrected.

    Reference: Efron 1987; Efron and Tibshirani 1993, section 14.3.
    """
    kept = draws_R[np.isfinite(draws_R)]
    unmoved = percentile(value, kept, confidence)
    if np.isnan(unmoved.low):
        return unmoved
    share = float(((kept < value).mean() + (kept <= value).mean()) / 2)
    if not 0 < share < 1:
        return Interval(float(value), float("nan"), float("nan"))
    bias, bend = _NORMAL.inv_cdf(share), acceleration(left_out_G)
    tail = (1 - confidence) / 2
    low, high = np.quantile(kept, [_moved(level, bias, bend) for level in (tail, 1 - tail)])
    return Interval(float(value), float(low), float(high))


def acceleration(left_out_G: Floats) -> float:
    """Return sum d^3 / (6 (sum d^2)^1.5), d the mean of the jackknife values less each of them; 0 if all agree."""
    kept = left_out_G[np.isfinite(left_out_G)]
    distance = kept.mean() - kept if len(kept) else kept
    squared = float((distance**2).sum())
    return float((distance**3).sum()) / 6 / squared**1.5 if squared > 0 else 0.0


def _moved(level: float, bias: float, bend: float) -> float:
    """Return the percentile that BCa reads for a nominal one."""
    shifted = bias + _NORMAL.inv_cdf(level)
    return _NORMAL.cdf(bias + shifted / (1 - bend * shifted))
