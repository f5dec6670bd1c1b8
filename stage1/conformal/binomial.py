"""Exact binomial certificates: what k misses among n positives prove, and how many positives a proof needs.

They hold for independent images; `clusters` has the correction for groups. Data that chose the policy proves nothing
here, except through `ltt`, which says in which order it may be used.
"""

from math import ceil, log, log1p

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrik, betaincc, betaincinv

from stage1.errors import BadData


def rate(name: str, value: float) -> float:
    """Return `value` if it lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise BadData(f"{name} must lie in (0, 1), got {value}.")
    return float(value)


def fnr_upper_bound(misses: int, positives: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a miss rate.

    Args:
        misses: Positives called negative, from data that chose nothing; 0 <= misses <= positives.
        positives: Answered positives; 0 gives 1.0, never a pass.
        confidence: 1 - delta, in (0, 1).

    >>> round(fnr_upper_bound(0, 149), 4)
    0.0199

    Reference: Clopper and Pearson 1934.
    """
    rate("confidence", confidence)
    if not 0 <= misses <= positives:
        raise BadData(f"misses must lie between 0 and positives, got {misses} of {positives}.")
    return 1.0 if misses == positives else float(betaincinv(misses + 1, positives - misses, confidence))


def positives_needed(max_fnr: float, misses: int = 0, confidence: float = 0.95) -> int:
    """Return the fewest positives at which `misses` misses still prove FNR <= max_fnr.

    >>> [positives_needed(0.02, k) for k in range(6)]
    [149, 236, 313, 386, 456, 523]
    """
    rate("max_fnr", max_fnr)
    delta = 1 - rate("confidence", confidence)
    if misses < 0:
        raise BadData(f"misses must be at least 0, got {misses}.")
    low = max(misses, ceil(log(delta) / log1p(-max_fnr)) - 1)  # the answer is above: k = 0 needs the most for none
    high = low + 1
    while bdtr(misses, high, max_fnr) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if bdtr(misses, middle, max_fnr) > delta:
            low = middle
        else:
            high = middle
    return high


def certifiable_misses(positives: int, max_fnr: float = 0.02, confidence: float = 0.95) -> int:
    """Return the most misses among `positives` that still prove FNR <= max_fnr, or -1 when none would do.

    >>> certifiable_misses(148), certifiable_misses(149), certifiable_misses(500)
    (-1, 0, 4)
    """
    return int(certifiable_misses_each([positives], max_fnr, confidence)[0])


def certifiable_misses_each(
    positives_T: ArrayLike, max_fnr: float = 0.02, confidence: float = 0.95
) -> NDArray[np.int64]:
    """Return `certifiable_misses` for every entry of an array of counts."""
    alpha, delta = rate("max_fnr", max_fnr), 1 - rate("confidence", confidence)
    positives = np.asarray(positives_T, dtype=np.int64)
    quantile = np.ceil(bdtrik(delta, np.maximum(positives, 1), alpha)).astype(np.int64)
    allowed = np.where(bdtr(quantile, positives, alpha) <= delta, quantile, quantile - 1)
    return np.where(positives > 0, allowed, -1)


def ltt(misses_T: ArrayLike, positives_T: ArrayLike, alpha: float, delta: float) -> int:
    """Return how many candidates, from the first on, are certified to have a miss rate <= alpha.

    Fixed-sequence testing: candidates in an order fixed beforehand (the safest first), each tested by an exact binomial
    p-value at the full delta, stopping at the first failure. With probability 1 - delta every certified candidate
    keeps alpha. Taking any later candidate that passes would not be valid.

    Args:
        misses_T: Misses of each candidate.
        positives_T: Answered positives of each candidate.
        alpha: Tolerated miss rate, in (0, 1).
        delta: Probability of a wrong certificate, in (0, 1).

    >>> ltt([0, 1, 9], [200, 240, 300], alpha=0.02, delta=0.05)
    2

    Reference: Angelopoulos et al., Learn then Test, arXiv 2110.01052.
    """
    rate("delta", delta)
    failed = p_values(misses_T, positives_T, alpha) > delta
    return int(np.argmax(failed)) if failed.any() else len(failed)


def p_values(misses_T: ArrayLike, positives_T: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Return P(Binomial(positives, alpha) <= misses) for each candidate; counts may be effective ones, not whole."""
    misses = np.asarray(misses_T, dtype=np.float64)
    positives = np.asarray(positives_T, dtype=np.float64)
    rate("alpha", alpha)
    if misses.shape != positives.shape or (misses < 0).any() or (misses > positives).any():
        raise BadData("Every candidate needs 0 <= misses <= positives.")
    result = np.ones(misses.shape)
    some = misses < positives
    result[some] = betaincc(misses[some] + 1, positives[some] - misses[some], alpha)
    return result
