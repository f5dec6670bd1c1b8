"""An interval for AUGRC without resampling: a cross-check of the bootstrap, and a quick look at ten million rows."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from stage1.errors import BadConfig
from stage1.metrics.pairs import augrc_sums
from stage1.metrics.resampling import Interval


def augrc_interval(
    confidence_N: ArrayLike, error_N: ArrayLike, groups: ArrayLike | None = None, *, confidence: float = 0.95
) -> Interval:
    """Return AUGRC with its large-sample interval, in n log n.

    AUGRC is a V-statistic: its variance is that of the sum of its first-order (Hoeffding) projections, as in DeLong's
    method for AUROC. With groups the projections are summed over each group first. The interval is normal for ln AUGRC:
    it stays above 0 and leans to the right, as a small sample of errors does.

    Args:
        confidence_N: Any score, higher is surer.
        error_N: 1 where the prediction is wrong.
        groups: One label per image; None: images are independent.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        NaN ends where there is no error or only one image or group: nothing then shows the spread.

    Reference: Hoeffding 1948; DeLong et al. 1988; sums over groups: Obuchowski 1997.
    """
    if not 0 < confidence < 1:
        raise BadConfig(f"confidence must lie in (0, 1), got {confidence}.")
    sums = augrc_sums(confidence_N, error_N, groups)
    num_images, num_groups = sums.images_G.sum(), len(sums.images_G)
    value = sums.total / num_images**2
    if num_groups < 2 or value == 0:
        return Interval(float(value), math.nan, math.nan)
    influence_G = sums.touched_G / num_images**2 - 2 * value * sums.images_G / num_images
    deviation = math.sqrt(num_groups / (num_groups - 1) * float(np.square(influence_G).sum()))
    factor = math.exp(NormalDist().inv_cdf((1 + confidence) / 2) * deviation / value)
    return Interval(float(value), float(value / factor), float(value * factor))
