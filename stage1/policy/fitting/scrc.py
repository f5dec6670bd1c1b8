"""Fit SCRC on val_calib: Dirichlet map, SCRC-T thresholds, then safer ones until the answered images hold too.

1. A Dirichlet map with the penalty chosen by cross-validation. At two classes it is monotone by construction, so it
   decides no order and SCRC-T may use the same data.
2. SCRC-T: acceptance by the gate at a coverage fixed beforehand, set threshold at max_fnr. That is the promise: in
   expectation, over images accepted by the gate.
3. What is *answered* (exactly one class in the set) is a smaller population with a larger FNR. So the set threshold is
   lowered further, to the first threshold on the way up from the safest that fails the exact binomial test or the aim
   on the answered images. A lower threshold only adds class 1 to sets, so the promise of step 2 still stands. On this
   path the rate is not monotone: step 3 is a check on val_calib, not a promise; val_test judges it.
"""

from collections.abc import Callable

import numpy as np

from stage1.calibration.dirichlet import Dirichlet
from stage1.calibration.dirichlet_fit import choose_penalty
from stage1.conformal import ScrcThresholds, positives_needed, scrc_t
from stage1.policy.base import BoundBy
from stage1.policy.config import Aim, Constraint, ScrcOptions
from stage1.policy.fitting.counts import Counts, one
from stage1.policy.fitting.evidence import NO_PROMISE, Sides, evidence, judges, nothing_answered
from stage1.policy.fitting.judge import Stop
from stage1.policy.predictions import Bools, Floats, Predictions
from stage1.policy.scrc import DirichletMap, ScrcPolicy, prediction_sets


def fit_scrc(predictions: Predictions, constraint: Constraint, aim: Aim, options: ScrcOptions) -> ScrcPolicy:
    """Return the fitted policy, feasible or not."""
    both = 1 < int(predictions.positive.sum()) < len(predictions) - 1
    return fit_thresholds(predictions, constraint, aim, options, _calibrate(predictions, options, both))


def fit_thresholds(
    predictions: Predictions, constraint: Constraint, aim: Aim, options: ScrcOptions, dirichlet: DirichletMap
) -> ScrcPolicy:
    """Return the policy with this map: SCRC-T, then the check of what is answered."""
    sides = judges(predictions, constraint, aim)
    gate = predictions.gate_scores()
    log_odds = dirichlet.log_odds(predictions.margin)
    thresholds = (
        scrc_t(gate, log_odds, predictions.positive, xi=options.accept, alpha=constraint.max_fnr)
        if len(gate)
        else ScrcThresholds(float("-inf"), float("-inf"), 0)
    )
    accepted = gate >= thresholds.accept
    stopped, set_from, reason = _safer(predictions, constraint, sides, log_odds, accepted, thresholds.positive)
    feasible = stopped.candidate >= 0
    fitted = ScrcPolicy(
        constraint=constraint,
        feasible=feasible,
        reason=reason,
        promise=_promise(constraint, options) if feasible else NO_PROMISE,
        findings=dirichlet.findings,
        evidence=nothing_answered(predictions),
        dirichlet=dirichlet,
        accept_from=thresholds.accept if np.isfinite(thresholds.accept) else None,
        set_from=set_from if feasible else None,
    )
    if not feasible:
        return fitted
    return fitted.model_copy(update={"evidence": evidence(fitted, predictions, sides, stopped)})


def _calibrate(predictions: Predictions, options: ScrcOptions, both: bool) -> DirichletMap:
    """Return the cross-validated map; the identity where a class has fewer than two images."""
    found = Dirichlet()
    if both:
        found = choose_penalty(
            predictions.logits,
            np.asarray(predictions.labels),
            groups_N=predictions.groups,
            penalties=options.penalties,
            seed=options.seed,
        )
    return DirichletMap.model_validate(found.to_json())


def _safer(
    predictions: Predictions,
    constraint: Constraint,
    sides: Sides,
    log_odds_N: Floats,
    accepted_N: Bools,
    highest: float,
) -> tuple[Stop, float, str]:
    """Return (stop, set threshold, reason): the last threshold <= `highest` before the first that fails."""
    positives = np.sort(log_odds_N[accepted_N & predictions.positive])
    negatives = np.sort(log_odds_N[accepted_N & ~predictions.positive])
    levels = np.unique(positives[: np.searchsorted(positives, highest, side="right")])
    if not len(levels):
        return _refused(constraint, sides, Counts(np.array([0]), np.array([len(positives)])))
    missed, alarmed = _answered(levels, positives, wrong_below=True), _answered(levels, negatives, wrong_below=False)
    certified = sides.misses.certified(missed) & sides.false_alarms.certified(alarmed)
    first = int(np.argmax(certified))
    if not certified[first]:
        best = int(np.argmin(sides.misses.upper(missed)))
        return _refused(constraint, sides, missed.take(slice(best, best + 1)))
    failed = np.flatnonzero(~certified[first:])
    last = first + int(failed[0]) - 1 if len(failed) else len(levels) - 1
    # The aim and the groups are checks, not promises, and nearly monotone: bisection looks at few thresholds.
    taken = max(_last(first, last, lambda level: _aimed(sides, missed, level)), first)
    bound_by: BoundBy = "aim" if taken < last else "certificate" if last < len(levels) - 1 else "expectation"

    def judged(level: int) -> Stop:
        return _with_groups(predictions, sides, log_odds_N, accepted_N, float(levels[level]), bound_by)

    if judged(taken).candidate < 0:
        taken = _last(first, taken - 1, lambda level: judged(level).candidate >= 0)
        if taken < first:
            return _refused(constraint, sides, missed.take(slice(first, first + 1)))
    return judged(taken), float(levels[taken]), ""


def _aimed(sides: Sides, missed: Counts, level: int) -> bool:
    return float(sides.misses.pass_probability(missed.take(slice(level, level + 1)))[0]) >= sides.misses.aim


def _last(low: int, high: int, passes: Callable[[int], bool]) -> int:
    """Bisect for the last index from `low` to `high` that passes; low - 1 where none is found."""
    below, above = low - 1, high + 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if passes(middle) else (below, middle)
    return below


def _answered(levels_T: Floats, ranked_N: Floats, *, wrong_below: bool) -> Counts:
    """Count, for each set threshold u, the accepted images of one class that get a single set, and the wrong ones.

    {0} iff log-odds < u and <= -u; {1} iff log-odds >= u and > -u.
    """
    zero = np.minimum(np.searchsorted(ranked_N, levels_T, "left"), np.searchsorted(ranked_N, -levels_T, "right"))
    one_from = np.maximum(np.searchsorted(ranked_N, levels_T, "left"), np.searchsorted(ranked_N, -levels_T, "right"))
    single = len(ranked_N) - one_from
    return Counts(zero if wrong_below else single, zero + single)


def _with_groups(
    predictions: Predictions, sides: Sides, log_odds_N: Floats, accepted_N: Bools, level: float, bound_by: BoundBy
) -> Stop:
    """Judge one threshold with the groups counted in; candidate -1 when it fails."""
    zero_N, one_N = prediction_sets(log_odds_N, level)
    answered = accepted_N & (zero_N != one_N)
    positives = np.flatnonzero(answered & predictions.positive)
    negatives = np.flatnonzero(answered & ~predictions.positive)
    missed = one(zero_N[positives], predictions.group_codes(positives))
    alarmed = one(one_N[negatives], predictions.group_codes(negatives))
    if not sides.misses.certified(missed)[0] or not sides.false_alarms.certified(alarmed)[0]:
        return Stop(-1, "certificate", 0.0)
    return Stop(0, bound_by, float(sides.misses.pass_probability(missed)[0]))


def _refused(constraint: Constraint, sides: Sides, best: Counts) -> tuple[Stop, float, str]:
    """Say what the best threshold does, how many positives it would need, and what it could certify."""
    misses, positives = int(best.errors[0]), int(best.answered[0])
    needed = positives_needed(constraint.max_fnr, misses, constraint.confidence)
    reason = (
        f"SCRC's best threshold answers {positives:,} of val_calib's positives with {misses:,} misses, or lets too "
        f"many false alarms through; FNR <= {constraint.max_fnr} at {constraint.confidence:.0%} needs {needed:,} "
        f"answered positives for that many misses, beside FPR <= {constraint.max_fpr}, and these could certify FNR <= "
        f"{float(sides.misses.upper(best)[0]):.4f}."
    )
    return Stop(-1, "certificate", 0.0), float("nan"), reason


def _promise(constraint: Constraint, options: ScrcOptions) -> str:
    return (
        f"In expectation over val_calib and one new image, at most {constraint.max_fnr:.1%} of the positives that the "
        f"gate accepts have a prediction set without class 1; the gate accepts at least {options.accept:.0%} of the "
        "images. This is about accepted images: among those answered (one class in the set) the rate can be higher; "
        "val_calib was checked for it, and val_test certifies it."
    )
