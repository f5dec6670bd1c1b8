"""Statistics of a weighted sample: what `Resampler` evaluates on thousands of resamples with one sort.

Each factory takes the images' arrays (N) and returns a function from weights (B, N) to values (B,); weights of 1 give
the plain statistic. Where a value does not exist (an empty denominator) it is NaN.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import Floats, Integers, predicted, quotient, same_length, scored, vector
from stage1.metrics.classification import confusion
from stage1.metrics.resampling import WeightedStatistic


def weighted_ratio(numerator_N: ArrayLike, denominator_N: ArrayLike) -> WeightedStatistic:
    """Return sum(w * numerator) / sum(w * denominator): selective FNR, accuracy among the answered, ..."""
    top, bottom = vector("numerator", numerator_N), vector("denominator", denominator_N)
    same_length(numerator=top, denominator=bottom)

    def ratio(weights_BN: Floats) -> Floats:
        below = weights_BN @ bottom
        return quotient(weights_BN @ top, below)

    return ratio


def weighted_mean(values_N: ArrayLike) -> WeightedStatistic:
    """Return the weighted mean: coverage, accuracy, NLL or Brier score from their terms."""
    return weighted_ratio(values_N, np.ones(len(np.asarray(values_N))))


def weighted_augrc(confidence_N: ArrayLike, error_N: ArrayLike) -> WeightedStatistic:
    """Return AUGRC: sum_i w_i e_i (W(c < c_i) + W(c = c_i) / 2) / (sum w)^2."""
    confidence, error = scored(confidence_N, error_N)
    below = _weight_below(confidence, error)
    wrong = np.flatnonzero(error)

    def augrc(weights_BN: Floats) -> Floats:
        twice, total = below(weights_BN)
        area: Floats = np.einsum("be,be->b", weights_BN[:, wrong], twice) / 2 / total**2
        return area

    return augrc


def weighted_auroc(score_N: ArrayLike, label_N: ArrayLike) -> WeightedStatistic:
    """Return AUROC; NaN where a resample lacks a class."""
    score, label = scored(score_N, label_N, "score", "label")
    below = _weight_below(score, label)
    positives = np.flatnonzero(label)

    def auroc(weights_BN: Floats) -> Floats:
        twice, total = below(weights_BN)
        weights = weights_BN[:, positives]
        positive = weights.sum(axis=1)
        # All pairs less those among positives, which tie or order themselves to exactly half.
        ordered = np.einsum("be,be->b", weights, twice) / 2 - positive**2 / 2
        pairs = positive * (total - positive)
        return quotient(ordered, pairs)

    return auroc


def weighted_mcc(prediction_N: ArrayLike, label_N: ArrayLike) -> WeightedStatistic:
    """Return Matthews' correlation; NaN where a margin is empty."""
    cells = np.column_stack(confusion(*predicted(prediction_N, label_N))).astype(np.float64)

    def mcc(weights_BN: Floats) -> Floats:
        tp, fn, tn, fp = (weights_BN @ cells).T
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return quotient(tp * tn - fp * fn, np.sqrt(product))

    return mcc


def weighted_generalized_risk(confidence_N: ArrayLike, error_N: ArrayLike, coverage_K: ArrayLike) -> WeightedStatistic:
    """Return P(wrong and accepted) at each coverage (B, K), linear between distinct confidences: a curve's band."""
    confidence, error = scored(confidence_N, error_N)
    targets = vector("coverage", coverage_K)
    order, last = distinct(-confidence)
    wrong = error[order].astype(np.float64)

    def generalized_risk(weights_BN: Floats) -> Floats:
        ranked = weights_BN[:, order]
        accepted = np.cumsum(ranked, axis=1)[:, last]
        errors = np.cumsum(ranked * wrong, axis=1)[:, last]
        total = accepted[:, -1:]
        rows = zip(accepted / total, errors / total, strict=True)
        return np.array([np.interp(targets, np.append(0.0, x), np.append(0.0, y)) for x, y in rows])

    return generalized_risk


def difference(first: WeightedStatistic, second: WeightedStatistic) -> WeightedStatistic:
    """Return first - second on the same resamples: a paired difference."""

    def paired(weights_BN: Floats) -> Floats:
        return first(weights_BN) - second(weights_BN)

    return paired


def distinct(score_N: Floats) -> tuple[Integers, Integers]:
    """Return (ascending order, ties by row; position of the last member of each run of ties)."""
    order = np.argsort(score_N, kind="stable")
    ranked = score_N[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _weight_below(score_N: Floats, chosen_N: np.ndarray) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Prepare, for each chosen image, twice the weight beneath it with ties counted half, and the total weight."""
    order, last = distinct(score_N)
    run_of_row = np.empty(len(order), dtype=np.int64)
    run_of_row[order] = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    runs = run_of_row[chosen_N]
    upper = last[runs]
    lower = np.where(runs > 0, last[runs - 1], -1)

    def below(weights_BN: Floats) -> tuple[Floats, Floats]:
        cumulated = np.zeros((len(weights_BN), len(order) + 1))
        np.cumsum(weights_BN[:, order], axis=1, out=cumulated[:, 1:])
        return cumulated[:, upper + 1] + cumulated[:, lower + 1], cumulated[:, -1]

    return below
