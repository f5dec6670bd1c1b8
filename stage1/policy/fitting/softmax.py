"""Fit the threshold sweep on val_calib: exact, every distinct score a candidate, no grid.

1. positive_from comes from the negatives alone, so the positives may test what follows. It is lowered through the
   negatives' margins until P(d >= positive_from | negative) <= max_fpr * share would no longer be certified, where
   share is the part of the negatives that is planned to be answered (Aim.answered_negatives).
2. negative_below is raised through the positives' margins beneath it, ties together, while the exact binomial test of
   FNR among answered positives passes. Stopping at the first failure needs no price for testing every score: with
   positive_from fixed, the true rate only grows along the way.
3. FPR among answered negatives needs that enough negatives are answered indeed. Their share depends on the positives
   through negative_below, so its lower bound holds for every threshold at once (one-sided DKW inequality).

Nine tenths of delta go to the false-alarm sweep and one tenth to the share. Both sweeps are aimed as well as certified.
"""

import numpy as np

from stage1.conformal import positives_needed
from stage1.policy.config import Aim, Constraint
from stage1.policy.fitting.counts import Counts, one, sweep
from stage1.policy.fitting.evidence import NO_PROMISE, Sides, evidence, judges, nothing_answered, promise
from stage1.policy.fitting.judge import Judge, stop
from stage1.policy.predictions import Bools, Floats, Predictions
from stage1.policy.softmax import SoftmaxPolicy

_SWEEP_SHARE = 0.9


def fit_softmax(predictions: Predictions, constraint: Constraint, aim: Aim) -> SoftmaxPolicy:
    """Return the fitted policy, feasible or not."""
    sides = judges(predictions, constraint, aim)
    d, positive = predictions.margin, predictions.positive
    positive_from, problem = _positive_from(predictions, constraint, aim, sides)
    if positive_from is None:
        return _infeasible(predictions, constraint, problem)
    above = positive & (d >= positive_from)
    below = np.flatnonzero(positive & (d < positive_from))
    below = below[np.argsort(d[below], kind="stable")]
    counts = sweep(
        d[below], predictions.group_codes(below), predictions.group_codes(above), int(above.sum()), joining=True
    )
    stopped = stop(sides.misses, counts)
    if stopped.candidate < 0:
        return _infeasible(predictions, constraint, _no_misses(constraint, sides.misses, counts))
    negative_below = _between(d, np.unique(d[below]), stopped.candidate, positive_from)
    problem = _too_few_answered(predictions, constraint, aim, sides, negative_below)
    if problem:
        return _infeasible(predictions, constraint, problem)
    positive_from = _past_the_gap(d, positive, positive_from, sides.misses, counts, stopped.candidate)
    fitted = SoftmaxPolicy(
        constraint=constraint,
        feasible=True,
        reason="",
        promise=promise(predictions, constraint),
        evidence=nothing_answered(predictions),
        negative_below=negative_below,
        positive_from=positive_from,
    )
    return fitted.model_copy(update={"evidence": evidence(fitted, predictions, sides, stopped)})


def _infeasible(predictions: Predictions, constraint: Constraint, reason: str) -> SoftmaxPolicy:
    return SoftmaxPolicy(
        constraint=constraint,
        feasible=False,
        reason=reason,
        promise=NO_PROMISE,
        evidence=nothing_answered(predictions),
        negative_below=None,
        positive_from=None,
    )


def _positive_from(
    predictions: Predictions, constraint: Constraint, aim: Aim, sides: Sides
) -> tuple[float | None, str]:
    """Return the threshold from which images exit as positive, by the negatives alone; or why there is none."""
    rows = np.flatnonzero(~predictions.positive)
    d = predictions.margin
    rows = rows[np.argsort(-d[rows], kind="stable")]
    groups = predictions.group_codes(rows)
    counts = sweep(d[rows], groups, groups, len(rows), joining=False)
    share = aim.answered_negatives
    certificate = Judge(constraint.max_fpr * share, _SWEEP_SHARE * constraint.delta, constraint.confidence, 0.0, 1.0)
    certified = certificate.certified(counts)
    if not certified[0]:
        needed = positives_needed(certificate.limit, 0, 1 - certificate.delta)
        return None, (
            f"FPR <= {constraint.max_fpr} with {share:.0%} of the negatives answered needs {needed:,} negatives in "
            f"val_calib, got {len(rows):,}. Use more negatives, a larger max_fpr or answered_negatives."
        )
    # The certificate needs the share; the aim expects half way from there to all, as more are usually answered.
    planned = _thinned(counts, (1 + share) / 2)
    last = int(np.argmin(certified)) - 1 if not certified.all() else len(certified) - 1
    taken = max(stop(sides.false_alarms, planned.take(slice(0, last + 1))).candidate, 0)
    distinct = np.unique(d[rows])[::-1]
    # The first `taken` distinct scores may be false alarms; the threshold parts them from the next one.
    failing = distinct[taken]
    if taken == 0:
        return float(np.nextafter(failing, np.inf)), ""
    return float(max((failing + distinct[taken - 1]) / 2, np.nextafter(failing, np.inf))), ""


def _thinned(counts: Counts, share: float) -> Counts:
    """Return the counts as if only a share of the negatives, with all false alarms among them, were answered."""
    return Counts(
        counts.errors,
        np.maximum(np.floor(share * counts.answered).astype(np.int64), counts.errors),
        None if counts.moments is None else counts.moments * np.array([1.0, share, share**2]),
        counts.num_groups,
    )


def _between(d_N: Floats, distinct: Floats, candidate: int, positive_from: float) -> float:
    """Return negative_below: midway between the first score not allowed and the observed score beneath it."""
    if candidate == len(distinct):
        return positive_from
    failing = float(distinct[candidate])
    beneath = d_N[d_N < failing]
    return (failing + float(beneath.max())) / 2 if len(beneath) else failing


def _past_the_gap(
    d_N: Floats, positive_N: Bools, positive_from: float, judge: Judge, counts: Counts, candidate: int
) -> float:
    """Raise positive_from to the lowest positive at or above it: what lies between are negatives, better deferred.

    The positive that marks the new threshold no longer counts as evidence, so the certificate must hold without it;
    where it would not, positive_from stays.
    """
    lowest = float(d_N[positive_N & (d_N >= positive_from)].min())
    chosen = counts.take(slice(candidate, candidate + 1))
    fewer = Counts(chosen.errors, chosen.answered - 1, chosen.moments, chosen.num_groups)
    return lowest if judge.certified(fewer)[0] else positive_from


def _too_few_answered(
    predictions: Predictions, constraint: Constraint, aim: Aim, sides: Sides, negative_below: float
) -> str:
    """Say what is missing when too few negatives are answered for the FPR certificate; empty when it holds."""
    negatives = ~predictions.positive
    exits = predictions.margin[negatives] < negative_below
    size = len(exits) / float(sides.false_alarms.design_effect(one(exits, predictions.group_codes(negatives)))[0])
    slack = float(np.sqrt(np.log(1 / ((1 - _SWEEP_SHARE) * constraint.delta)) / 2 / size))
    share = float(exits.mean())
    needed = aim.answered_negatives * (1 - constraint.max_fpr)
    if share - slack >= needed:
        return ""
    return (
        f"FPR <= {constraint.max_fpr} was planned for {aim.answered_negatives:.0%} of the negatives answered, which "
        f"needs {needed + slack:.1%} of val_calib's to exit as negative at FNR <= {constraint.max_fnr}; {share:.1%} "
        "do. Use a smaller answered_negatives, a larger max_fnr or a better model."
    )


def _no_misses(constraint: Constraint, judge: Judge, counts: Counts) -> str:
    """Say how many positives are missing, and which FNR these could certify."""
    positives = int(counts.answered[0])
    needed = positives_needed(constraint.max_fnr, 0, constraint.confidence)
    upper = float(judge.upper(counts.take(slice(0, 1)))[0])
    return (
        f"FNR <= {constraint.max_fnr} at {constraint.confidence:.0%} needs {needed:,} positives answered without a "
        f"miss; val_calib has {positives:,} at or above the positive threshold, which could certify FNR <= "
        f"{upper:.4f}. Use more positives, a larger max_fnr, a larger max_fpr or a better model."
    )
