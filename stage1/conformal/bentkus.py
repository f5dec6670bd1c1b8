"""The Hoeffding-Bentkus test and bound: what a mean of losses in [0, 1] proves, at any finite number of them.

For 0/1 losses Clopper-Pearson (`binomial`) is exact and never worse; these are for losses between: the share of missed
images in each group, say, where groups are independent and images are not. The p-value of "mean risk >= alpha" is the
smaller one of Hoeffding's (in its relative-entropy form) and Bentkus' (e times a binomial tail); both hold for every
distribution on [0, 1], and so does their minimum, because both are functions of the same sum of losses.
"""

from collections.abc import Callable
from math import ceil, e, log, log1p

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betaincinv, xlogy

from stage1.conformal.binomial import rate
from stage1.errors import BadData

Floats = NDArray[np.float64]


def hoeffding_bentkus_p_values(losses_T: ArrayLike, samples_T: ArrayLike, alpha: float) -> Floats:
    """Return p-values of "the mean risk is at least alpha" for each candidate; small ones speak against it.

    Args:
        losses_T: Sum of the losses, each in [0, 1], of each candidate.
        samples_T: Number of losses in each sum; none gives 1.
        alpha: Tolerated mean risk, in (0, 1).

    >>> [round(float(p), 4) for p in hoeffding_bentkus_p_values([0, 2.5], [149, 400], alpha=0.02)]
    [0.0493, 0.072]

    References: Bates et al., Distribution-free risk-controlling prediction sets, JACM 2021, section 3.1;
    Angelopoulos et al., Learn then Test, arXiv 2110.01052, proposition 1.
    """
    losses, samples = np.asarray(losses_T, dtype=np.float64), np.asarray(samples_T, dtype=np.float64)
    rate("alpha", alpha)
    if losses.shape != samples.shape or not ((losses >= 0) & (losses <= samples)).all():
        raise BadData("Every candidate needs 0 <= sum of losses <= number of samples.")
    if (samples != np.floor(samples)).any():
        raise BadData("samples must be whole numbers.")
    mean = np.divide(losses, samples, out=np.zeros(losses.shape), where=samples > 0)
    hoeffding = np.exp(-samples * _divergence(np.minimum(mean, alpha), alpha))
    bentkus = e * bdtr(np.ceil(losses), samples.astype(np.int64), alpha)
    result: Floats = np.minimum(np.minimum(hoeffding, bentkus), 1.0)
    return result


def hoeffding_bentkus_bound(losses: float, samples: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a mean risk: every risk above it is refused by the test.

    Args:
        losses: Sum of independent losses, each in [0, 1].
        samples: Their number; 0 gives 1.0, never a pass.
        confidence: 1 - delta, in (0, 1).

    >>> round(hoeffding_bentkus_bound(0, 149), 4), round(hoeffding_bentkus_bound(2.5, 400), 4)
    (0.0199, 0.0213)
    """
    delta = 1 - rate("confidence", confidence)
    if not 0 <= losses <= samples:
        raise BadData(f"losses must lie between 0 and samples, got {losses} of {samples}.")
    if losses == samples:
        return 1.0
    mean, whole = losses / samples, ceil(losses)
    hoeffding = _crossing(lambda risk: samples * float(_divergence(mean, risk)) > -log(delta), mean, 1.0)
    bentkus = 1.0 if whole >= samples else float(betaincinv(whole + 1, samples - whole, 1 - delta / e))
    return min(hoeffding, bentkus)


def hoeffding_bentkus_needs(max_risk: float, losses: float = 0.0, confidence: float = 0.95) -> int:
    """Return the fewest samples at which this sum of losses still proves a mean risk <= max_risk.

    Without any loss it is Clopper-Pearson's number; with losses it is larger, the price of allowing any distribution.

    >>> [hoeffding_bentkus_needs(0.02, k) for k in range(4)]
    [149, 285, 379, 457]
    """
    rate("max_risk", max_risk)
    delta = 1 - rate("confidence", confidence)
    if losses < 0:
        raise BadData(f"losses must be at least 0, got {losses}.")

    def proves(samples: int) -> bool:
        return float(hoeffding_bentkus_p_values([losses], [samples], max_risk)[0]) <= delta

    low = max(ceil(losses), ceil(log(delta) / log1p(-max_risk)) - 1)  # no loss at all needs one more than this
    high = low + 1
    while not proves(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def _divergence(mean: ArrayLike, risk: float) -> Floats:
    """Return the relative entropy of a coin of probability `mean` to one of probability `risk`."""
    share = np.asarray(mean, dtype=np.float64)
    result: Floats = xlogy(share, share / risk) + xlogy(1 - share, (1 - share) / (1 - risk))
    return result


def _crossing(beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Return the first number at which `beyond` holds, from above, by bisection down to neighbouring floats."""
    middle = (low + high) / 2
    while low < middle < high:
        low, high = (low, middle) if beyond(middle) else (middle, high)
        middle = (low + high) / 2
    return high
