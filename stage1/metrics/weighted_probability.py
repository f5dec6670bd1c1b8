"""Weighted NLL, Brier score and calibration errors: what intervals resample."""

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import Floats, Integers
from stage1.metrics.probability import Bins, Kind, brier_terms, check_bins, judged, nll_terms
from stage1.metrics.resampling import WeightedStatistic
from stage1.metrics.weighted import distinct, weighted_mean


def weighted_nll(probability: ArrayLike, label_N: ArrayLike, *, floor: float = 1e-12) -> WeightedStatistic:
    """Return the mean negative log-likelihood."""
    return weighted_mean(nll_terms(probability, label_N, floor))


def weighted_brier(probability: ArrayLike, label_N: ArrayLike) -> WeightedStatistic:
    """Return the Brier score."""
    return weighted_mean(brier_terms(probability, label_N))


def weighted_ece(
    probability: ArrayLike, label_N: ArrayLike, *, kind: Kind = "top_label", bins: Bins = "width", num_bins: int = 15
) -> WeightedStatistic:
    """Return the expected calibration error; bins of equal mass are cut anew in every resample, as `ece` would."""
    check_bins(bins, num_bins)
    score, hit = judged(probability, label_N, kind)
    order, last = distinct(score)
    ranked, gap = score[order], (hit - score)[order]
    last_of_ties = np.repeat(last, np.diff(last, prepend=-1))
    inner = np.searchsorted(ranked, np.linspace(0.0, 1.0, num_bins + 1)[1:-1], side="right")

    def cuts(cumulated_N: Floats) -> Integers:
        """Return how many ranked images lie at or below each inner edge."""
        if bins == "width":
            return inner
        wanted = np.floor(np.arange(1, num_bins) * cumulated_N[-1] / num_bins)
        place = last_of_ties[np.searchsorted(cumulated_N, wanted[wanted >= 1], side="left")]
        # Zeros have no edge beneath them: they share the first bin with what follows.
        return np.asarray(np.where(ranked[place] > 0, place + 1, 0))

    def between(cut_K: Integers, cumulated_N: Floats) -> Floats:
        """Return what accrues in each bin."""
        return np.diff(np.append(0.0, cumulated_N)[np.append(cut_K, len(cumulated_N))], prepend=0.0)

    def ece(weights_BN: Floats) -> Floats:
        weights = weights_BN[:, order]
        total = np.cumsum(weights, axis=1)
        off = np.cumsum(weights * gap, axis=1)
        rows = [between(cuts(mass), row) for mass, row in zip(total, off, strict=True)]
        return np.array([np.abs(row).sum() for row in rows]) / total[:, -1]

    return ece
