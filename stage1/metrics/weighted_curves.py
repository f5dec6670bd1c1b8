"""Weighted statistics along the risk-coverage curve: AURC, error rates among the accepted, coverage at a risk.

Each factory returns a function from weights (B, N) to values (B,), as in `weighted`. Images of one confidence are
accepted together; a level whose images all weigh nothing does not exist.

Legend: N images, B resamples of one block, K distinct confidences from the surest down.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from stage1.errors import BadConfig
from stage1.metrics.arrays import Bools, Floats, binary, predicted, quotient, same_length, scored, vector
from stage1.metrics.resampling import WeightedStatistic
from stage1.metrics.weighted import distinct


def weighted_aurc(confidence_N: ArrayLike, error_N: ArrayLike) -> WeightedStatistic:
    """Return AURC: trapezoids between distinct confidences, the first risk held down to coverage 0."""
    confidence, error = scored(confidence_N, error_N)
    accumulate = _accumulator(confidence)

    def aurc(weights_BN: Floats) -> Floats:
        accepted, errors = accumulate(weights_BN), accumulate(weights_BN * error)
        # Where nothing is accepted yet, the risk is that of the first level that exists.
        first = np.argmax(accepted > 0, axis=1)[:, None]
        reached = np.maximum(np.arange(accepted.shape[1]), first)
        risk = np.take_along_axis(errors, reached, axis=1) / np.take_along_axis(accepted, reached, axis=1)
        before = np.concatenate([risk[:, :1], risk[:, :-1]], axis=1)
        area: Floats = (np.diff(accepted, axis=1, prepend=0) * (risk + before)).sum(axis=1) / 2 / accepted[:, -1]
        return area

    return aurc


def weighted_eaurc(confidence_N: ArrayLike, error_N: ArrayLike) -> WeightedStatistic:
    """Return AURC less that of a perfect ranking at the same error rate."""
    aurc = weighted_aurc(confidence_N, error_N)
    error: Floats = binary("error", error_N).astype(np.float64)

    def eaurc(weights_BN: Floats) -> Floats:
        risk = weights_BN @ error / weights_BN.sum(axis=1)
        right = 1 - risk
        # right * ln(right) is 0 where nothing is right.
        best = risk + right * np.log(np.where(right > 0, right, 1.0))
        above: Floats = aurc(weights_BN) - best
        return above

    return eaurc


def weighted_coverage_at_risk(confidence_N: ArrayLike, error_N: ArrayLike, *, risk: float) -> WeightedStatistic:
    """Return the largest coverage whose selective risk is at most `risk`; 0 where there is none."""
    confidence, error = scored(confidence_N, error_N)
    tolerated = _fraction("risk", risk, lowest=0.0)
    accumulate = _accumulator(confidence)

    def coverage_at_risk(weights_BN: Floats) -> Floats:
        accepted, errors = accumulate(weights_BN), accumulate(weights_BN * error)
        held = errors * tolerated.denominator <= accepted * tolerated.numerator
        best: Floats = np.where(held, accepted, 0.0).max(axis=1) / accepted[:, -1]
        return best

    return coverage_at_risk


def weighted_selective_accuracy(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> WeightedStatistic:
    """Return the share of right predictions among the accepted; NaN where none is accepted."""
    prediction, label = predicted(prediction_N, label_N)
    return _among_accepted(confidence_N, prediction == label, np.ones(len(label), dtype=bool), coverage, threshold)


def weighted_selective_fnr(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> WeightedStatistic:
    """Return the share of misses among the accepted positives; NaN where there is none."""
    prediction, label = predicted(prediction_N, label_N)
    return _among_accepted(confidence_N, ~prediction, label, coverage, threshold)


def weighted_selective_fpr(
    confidence_N: ArrayLike,
    prediction_N: ArrayLike,
    label_N: ArrayLike,
    *,
    coverage: float | None = None,
    threshold: float | None = None,
) -> WeightedStatistic:
    """Return the share of false alarms among the accepted negatives; NaN where there is none."""
    prediction, label = predicted(prediction_N, label_N)
    return _among_accepted(confidence_N, prediction, ~label, coverage, threshold)


def _among_accepted(
    confidence_N: ArrayLike, event_N: Bools, among_N: Bools, coverage: float | None, threshold: float | None
) -> WeightedStatistic:
    """Return the share of `event` among the accepted images that are in `among`."""
    confidence = vector("confidence", confidence_N)
    same_length(confidence=confidence, prediction=event_N)
    if (coverage is None) == (threshold is None):
        raise BadConfig(f"Give either a coverage or a threshold, got coverage={coverage} and threshold={threshold}.")
    if threshold is not None:
        reached = (confidence >= threshold) & among_N

        def at_threshold(weights_BN: Floats) -> Floats:
            return quotient(weights_BN @ (event_N & reached), weights_BN @ reached.astype(np.float64))

        return at_threshold
    wanted = _fraction("coverage", coverage, lowest=None)
    accumulate = _accumulator(confidence)

    def at_coverage(weights_BN: Floats) -> Floats:
        accepted = accumulate(weights_BN)
        enough = accepted * wanted.denominator >= accepted[:, -1:] * wanted.numerator
        level = np.argmax(enough, axis=1)[:, None]
        events = np.take_along_axis(accumulate(weights_BN * (event_N & among_N)), level, axis=1)[:, 0]
        return quotient(events, np.take_along_axis(accumulate(weights_BN * among_N), level, axis=1)[:, 0])

    return at_coverage


def _accumulator(confidence_N: Floats) -> Callable[[Floats], Floats]:
    """Return a function from weights (B, N) to the weight at or above each distinct confidence (B, K)."""
    order, last = distinct(-confidence_N)
    starts = np.append(0, last[:-1] + 1)

    def accumulate(weights_BN: Floats) -> Floats:
        return np.cumsum(np.add.reduceat(weights_BN[:, order], starts, axis=1), axis=1)

    return accumulate


def _fraction(name: str, value: float | None, *, lowest: float | None) -> Fraction:
    """Return the rate as it was written: 0.1 is a tenth, so a count on the edge is judged exactly, up to 1e7 images."""
    if value is None or not (0 < value <= 1 or value == lowest):
        raise BadConfig(f"{name} must lie in {'(0' if lowest is None else '[0'}, 1], got {value}.")
    return Fraction(str(float(value))).limit_denominator(10**7)
