"""`interval`: one call for the interval of one statistic, or of the difference between two models.

This room's statistics take the fast path of weights; any other function of arrays is called on resampled rows.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from stage1.errors import BadConfig, BadData
from stage1.metrics.arrays import Floats, predicted, same_length, scored
from stage1.metrics.augrc_draws import AugrcDraws
from stage1.metrics.augrc_groups import AugrcOfGroups
from stage1.metrics.bca import bca
from stage1.metrics.classification import accuracy, mcc
from stage1.metrics.pairs import jackknife_augrc, jackknife_auroc, jackknife_failure_auroc
from stage1.metrics.probability import brier, ece, nll
from stage1.metrics.ranking import auroc, failure_auroc
from stage1.metrics.resampling import Interval, Resampler, WeightedStatistic, percentile
from stage1.metrics.selective import augrc, aurc, eaurc
from stage1.metrics.selective_rates import coverage_at_risk, selective_accuracy, selective_fnr, selective_fpr
from stage1.metrics.weighted import difference, weighted_augrc, weighted_auroc, weighted_mcc, weighted_mean
from stage1.metrics.weighted_curves import (
    weighted_aurc,
    weighted_coverage_at_risk,
    weighted_eaurc,
    weighted_selective_accuracy,
    weighted_selective_fnr,
    weighted_selective_fpr,
)
from stage1.metrics.weighted_probability import weighted_brier, weighted_ece, weighted_nll

Statistic = Callable[..., float]
Method = Literal["percentile", "bca"]


def interval(
    statistic: Statistic,
    *arrays: ArrayLike,
    minus: tuple[ArrayLike, ...] | None = None,
    groups: ArrayLike | None = None,
    method: Method = "percentile",
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a bootstrap interval of `statistic(*arrays)`.

    Args:
        statistic: A function of row-aligned arrays, such as `augrc`; options by `functools.partial(ece, bins="mass")`.
        arrays: Its arguments, first axis N.
        minus: The arguments of a second model on the same images; the interval is then of the paired difference
            statistic(*arrays) - statistic(*minus).
        groups: One label per image; whole groups are resampled. None: images are independent.
        method: `percentile`, or `bca` (corrected for bias and skewness; the jackknife leaves out each image or group,
            above 1,000 of them 1,000 random parts, except for AUGRC and AUROC, which are always exact).
        num_resamples: Bootstrap resamples.
        confidence: Two-sided coverage, in (0, 1).
        seed: Same seed, same interval.

    A calibration error of a resample is larger than that of its sample, because drawing twice adds noise that the error
    counts as miscalibration: its percentile interval lies too high, and `bca` corrects only a part of this.

    >>> interval(augrc, [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]).value
    0.03125

    Reference: Efron and Tibshirani 1993; groups: Davison and Hinkley 1997, section 3.8.
    """
    if method not in ("percentile", "bca"):
        raise BadConfig(f"method must be 'percentile' or 'bca', got {method!r}.")
    num_images = same_length(**{f"array_{i}": np.asarray(a) for i, a in enumerate((*arrays, *(minus or ())))})
    if num_images == 0:
        raise BadData("An interval needs at least one image.")
    resampler = Resampler(num_images, groups, num_resamples=num_resamples, seed=seed)
    weighted = _weighted(statistic, arrays)
    if minus is not None:
        weighted = difference(weighted, _weighted(statistic, minus))
    value = float(resampler.observed(weighted))
    if statistic is augrc and minus is None and groups is None:
        draws = AugrcDraws(*scored(arrays[0], arrays[1]))(num_resamples, seed)
    elif statistic is augrc:
        draws = _augrc_by_counts(resampler, arrays)
        if minus is not None:
            draws = draws - _augrc_by_counts(resampler, minus)
    else:
        draws = resampler.evaluate({"value": weighted})["value"]
    if method == "percentile":
        return percentile(value, draws, confidence)
    exact = _LEFT_OUT.get(statistic)
    if exact is None:
        left_out = resampler.jackknife(weighted)
    else:
        left_out = exact(*arrays, groups) - (exact(*minus, groups) if minus is not None else 0.0)
    return bca(value, draws, left_out, confidence)


def _weighted(statistic: Statistic, arrays: tuple[ArrayLike, ...]) -> WeightedStatistic:
    """Return the statistic as a function of weights."""
    plain, options = (statistic.func, statistic.keywords) if isinstance(statistic, partial) else (statistic, {})
    factory = _WEIGHTED.get(plain)
    if factory is not None and not getattr(statistic, "args", ()):
        return factory(*arrays, **options)
    return _by_rows(statistic, [np.asarray(array) for array in arrays])


def _augrc_by_counts(resampler: Resampler, arrays: tuple[ArrayLike, ...]) -> Floats:
    """Return AUGRC of every resample; called again, of the same resamples."""
    confidence, error = scored(arrays[0], arrays[1])
    return AugrcOfGroups(confidence, error, resampler.unit_N, resampler.num_units)(resampler.counts())


def _by_rows(statistic: Statistic, arrays: list[np.ndarray[Any, Any]]) -> WeightedStatistic:
    """Call the statistic on the rows of every resample."""

    def repeated(weights_BN: Floats) -> Floats:
        rows = (np.repeat(np.arange(weights_BN.shape[1]), weights.astype(np.int64)) for weights in weights_BN)
        return np.array([statistic(*(array[row] for array in arrays)) for row in rows])

    return repeated


def _weighted_failure_auroc(confidence_N: ArrayLike, error_N: ArrayLike) -> WeightedStatistic:
    confidence, error = scored(confidence_N, error_N)
    return weighted_auroc(confidence, ~error)


def _weighted_accuracy(prediction_N: ArrayLike, label_N: ArrayLike) -> WeightedStatistic:
    prediction, label = predicted(prediction_N, label_N)
    return weighted_mean(prediction == label)


_WEIGHTED: Mapping[Statistic, Callable[..., WeightedStatistic]] = {
    accuracy: _weighted_accuracy,
    augrc: weighted_augrc,
    aurc: weighted_aurc,
    auroc: weighted_auroc,
    brier: weighted_brier,
    coverage_at_risk: weighted_coverage_at_risk,
    eaurc: weighted_eaurc,
    ece: weighted_ece,
    failure_auroc: _weighted_failure_auroc,
    mcc: weighted_mcc,
    nll: weighted_nll,
    selective_accuracy: weighted_selective_accuracy,
    selective_fnr: weighted_selective_fnr,
    selective_fpr: weighted_selective_fpr,
}

_LEFT_OUT: Mapping[Statistic, Callable[..., Floats]] = {
    augrc: jackknife_augrc,
    auroc: jackknife_auroc,
    failure_auroc: jackknife_failure_auroc,
}
