"""`interval`: one call for the interval of one statistic, or of the difference between two models.

Known statistics (AUGRC, AUROC, accuracy, MCC) take the fast path of weights; any other function of arrays is called on
resampled rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadData
from stage1.metrics.arrays import Floats, binary, same_length, vector
from stage1.metrics.classification import accuracy, mcc
from stage1.metrics.ranking import auroc, failure_auroc
from stage1.metrics.resampling import Interval, Resampler, WeightedStatistic, percentile
from stage1.metrics.selective import augrc
from stage1.metrics.weighted import difference, weighted_augrc, weighted_auroc, weighted_mcc, weighted_mean

Statistic = Callable[..., float]


def interval(
    statistic: Statistic,
    *arrays: ArrayLike,
    minus: tuple[ArrayLike, ...] | None = None,
    groups: ArrayLike | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a percentile bootstrap interval of `statistic(*arrays)`.

    Args:
        statistic: A function of row-aligned arrays, such as `augrc` or `brier`.
        arrays: Its arguments, first axis N.
        minus: The arguments of a second model on the same images; the interval is then of the paired difference
            statistic(*arrays) - statistic(*minus).
        groups: One label per image; whole groups are resampled. None: images are independent.
        num_resamples: Bootstrap resamples.
        confidence: Two-sided coverage, in (0, 1).
        seed: Same seed, same interval.

    >>> interval(augrc, [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]).value
    0.03125

    Reference: Efron and Tibshirani 1993; groups: Davison and Hinkley 1997, section 3.8.
    """
    num_images = same_length(**{f"array_{i}": np.asarray(a) for i, a in enumerate((*arrays, *(minus or ())))})
    if num_images == 0:
        raise BadData("An interval needs at least one image.")
    if statistic is augrc and minus is None and groups is None:
        return _augrc_interval(*arrays, num_resamples=num_resamples, confidence=confidence, seed=seed)
    resampler = Resampler(num_images, groups, num_resamples=num_resamples, seed=seed)
    fast = _WEIGHTED.get(statistic)
    if fast is not None:
        weighted = fast(*arrays) if minus is None else difference(fast(*arrays), fast(*minus))
        return resampler.intervals({"value": weighted}, confidence)["value"]
    return _by_rows(statistic, arrays, minus, resampler, confidence)


def _augrc_interval(
    confidence_N: ArrayLike, error_N: ArrayLike, *, num_resamples: int, confidence: float, seed: int
) -> Interval:
    """Resample the cells that AUGRC depends on: with few errors these are far fewer than images."""
    cells = compress(vector("confidence", confidence_N), binary("error", error_N))
    statistic = weighted_augrc(cells[0], cells[1])
    resampler = Resampler(len(cells[0]), num_resamples=num_resamples, seed=seed, multiplicity_N=cells[2])
    return resampler.intervals({"value": statistic}, confidence)["value"]


def compress(confidence_N: Floats, error_N: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Return (rank, error, count) of the cells that AUGRC depends on.

    Right predictions between two neighbouring confidences of errors are interchangeable, so they are one cell; a
    resample of cells by their counts has the distribution of a resample of images.
    """
    same_length(confidence=confidence_N, error=error_N)
    levels = np.unique(confidence_N[error_N])
    # Even ranks lie between errors' confidences, odd ranks on them.
    rank = np.searchsorted(levels, confidence_N, side="left") + np.searchsorted(levels, confidence_N, side="right")
    count = np.bincount(2 * rank + error_N)
    kept = np.flatnonzero(count)
    return (kept // 2).astype(np.float64), kept % 2 == 1, count[kept]


def _by_rows(
    statistic: Statistic,
    arrays: tuple[ArrayLike, ...],
    minus: tuple[ArrayLike, ...] | None,
    resampler: Resampler,
    confidence: float,
) -> Interval:
    """Call the statistic on the rows of every resample."""
    first = [np.asarray(array) for array in arrays]
    second = None if minus is None else [np.asarray(array) for array in minus]

    def value(rows: NDArray[Any] | slice) -> float:
        result = statistic(*(array[rows] for array in first))
        return result if second is None else result - statistic(*(array[rows] for array in second))

    everything = np.arange(resampler.num_images)
    draws = [
        value(np.repeat(everything, weights.astype(np.int64))) for block in resampler.blocks() for weights in block
    ]
    return percentile(value(slice(None)), np.asarray(draws), confidence)


def _weighted_failure_auroc(confidence_N: ArrayLike, error_N: ArrayLike) -> WeightedStatistic:
    return weighted_auroc(confidence_N, ~binary("error", error_N))


def _weighted_accuracy(prediction_N: ArrayLike, label_N: ArrayLike) -> WeightedStatistic:
    return weighted_mean(binary("prediction", prediction_N) == binary("label", label_N))


_WEIGHTED: dict[Statistic, Callable[..., WeightedStatistic]] = {
    augrc: weighted_augrc,
    auroc: weighted_auroc,
    failure_auroc: _weighted_failure_auroc,
    accuracy: _weighted_accuracy,
    mcc: weighted_mcc,
}
