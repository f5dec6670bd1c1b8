"""Conformal risk control of the false-negative rate: one threshold, a promise in expectation."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import ArrayLike

from stage1.conformal.binomial import rate
from stage1.errors import BadData


def allowed_losses(num_positives: int, alpha: float) -> int:
    """Return floor((m + 1) alpha) - 1: the calibration misses that still promise risk <= alpha; -1 when none do.

    In whole fractions, because (m + 1) * alpha in floats can fall short of a whole number. A published bound
    (arXiv 2512.12844, Eq. 15) has ceil in place of floor, one loss too many unless (m + 1) alpha is whole: at m = 100,
    alpha = .02 its true risk is 3 / 101 = 2.97 %.

    >>> allowed_losses(49, 0.02), allowed_losses(48, 0.02)
    (0, -1)
    """
    return floor((num_positives + 1) * Fraction(str(rate("alpha", alpha)))) - 1


def crc_needs(alpha: float, misses: int = 0) -> int:
    """Return the fewest calibration positives at which CRC may miss this many: alpha >= (misses + 1) / (m + 1).

    >>> crc_needs(0.02), crc_needs(0.02, misses=3), crc_needs(0.3)
    (49, 199, 3)
    """
    if misses < 0:
        raise BadData(f"misses must be at least 0, got {misses}.")
    return ceil((misses + 1) / Fraction(str(rate("alpha", alpha)))) - 1


def crc_threshold(positive_scores_N: ArrayLike, alpha: float) -> float:
    """Return the largest t such that "positive iff score >= t" misses at most alpha of new positives, in expectation.

    Args:
        positive_scores_N: Scores of the calibration positives (higher is more positive), exchangeable with new ones.
        alpha: Tolerated false-negative rate, in (0, 1).

    Returns:
        The threshold; -inf (everything is called positive) when alpha < 1 / (m + 1), as no other keeps the promise.

    >>> crc_threshold([0.1, 0.2, 0.3, 0.4], alpha=0.4)
    0.2

    Reference: Angelopoulos et al., Conformal Risk Control, arXiv 2208.02814.
    """
    scores = np.asarray(positive_scores_N, dtype=np.float64)
    if scores.ndim != 1 or np.isnan(scores).any():
        raise BadData(f"positive scores need one number per positive and no NaN, got shape {scores.shape}.")
    losses = allowed_losses(len(scores), alpha)
    return float(np.partition(scores, losses)[losses]) if losses >= 0 else float("-inf")
