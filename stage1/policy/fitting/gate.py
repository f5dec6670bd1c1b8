"""Fit the gate policy on val_calib by fixed-sequence testing over acceptance thresholds.

FNR among accepted positives need not be monotone in the gate's threshold, so it may not be swept as the softmax
policy's is. Instead a short sequence of rules is fixed without looking at any positive of val_calib
(fitting.rules). The positives then test the rules from the one that accepts the fewest on, each at the full delta by an
exact binomial test, stopping at the first failure: with probability 1 - delta no certified rule breaks max_fnr (Learn
then Test). Of the certified rules the last that meets the aim is taken.
"""

import numpy as np

from stage1.calibration.platt import Platt
from stage1.conformal import positives_needed
from stage1.policy.base import BoundBy
from stage1.policy.config import Aim, Constraint
from stage1.policy.fitting.counts import Counts
from stage1.policy.fitting.evidence import NO_PROMISE, Sides, evidence, judges, nothing_answered, promise
from stage1.policy.fitting.judge import Stop
from stage1.policy.fitting.rules import Gated, Rule, levels_of, planned_levels, rules_of
from stage1.policy.gate import GatePolicy, PlattMap
from stage1.policy.predictions import Predictions

_COLLAPSED = "The gate collapsed: it gives (almost) every image the same score, so it ranks nothing."
_NOWHERE = Stop(-1, "certificate", 0.0)


def fit_gate(
    predictions: Predictions, constraint: Constraint, aim: Aim, planning: Predictions | None = None
) -> GatePolicy:
    """Return the fitted policy, feasible or not."""
    gate = predictions.gate_scores()
    platt = Platt().fit(gate, ~predictions.errors) if len(gate) else Platt()
    return fit_rule(predictions, constraint, aim, planning, PlattMap.model_validate(platt.to_json()))


def fit_rule(
    predictions: Predictions, constraint: Constraint, aim: Aim, planning: Predictions | None, platt: PlattMap
) -> GatePolicy:
    """Return the policy with this map, which decides nothing."""
    sides = judges(predictions, constraint, aim)
    rule, stopped, reason = certified_rule(predictions, constraint, aim, planning)
    feasible = rule is not None
    fitted = GatePolicy(
        constraint=constraint,
        feasible=feasible,
        reason=reason,
        promise=promise(predictions, constraint) if feasible else NO_PROMISE,
        findings=(_COLLAPSED,) if _collapsed(predictions.gate_scores()) else (),
        evidence=nothing_answered(predictions),
        platt=platt,
        accept_above=rule.above if rule is not None and np.isfinite(rule.above) else None,
        positive_from=rule.positive_from if rule is not None else 0.0,
    )
    if not feasible:
        return fitted
    return fitted.model_copy(update={"evidence": evidence(fitted, predictions, sides, stopped)})


def certified_rule(
    predictions: Predictions, constraint: Constraint, aim: Aim, planning: Predictions | None = None
) -> tuple[Rule | None, Stop, str]:
    """Return (the rule to take or None, where the sequence stopped, why there is none)."""
    sides, rows = judges(predictions, constraint, aim), Gated.of(predictions)
    levels = np.empty(0) if planning is None else planned_levels(Gated.of(planning), judges(planning, constraint, aim))
    if not len(levels):
        levels = levels_of(rows)
    rules = rules_of(rows, sides, levels, among=max(len(levels), 1))
    if not rules:
        needed = positives_needed(constraint.max_fpr, 0, 1 - constraint.delta / max(len(levels), 1))
        return (
            None,
            _NOWHERE,
            (
                f"FPR <= {constraint.max_fpr} needs {needed:,} accepted negatives in val_calib; it has "
                f"{len(rows.negatives):,} in all. Use more negatives or a larger max_fpr."
            ),
        )
    return _test(rows, rules, constraint, sides)


def _test(rows: Gated, rules: list[Rule], constraint: Constraint, sides: Sides) -> tuple[Rule | None, Stop, str]:
    """Test the rules in their order, up to the first whose misses are not certified."""
    chances = []
    for rule in rules:
        missed = rows.missed(rule)
        if not sides.misses.certified(missed)[0]:
            break
        chances.append(float(sides.misses.pass_probability(missed)[0]))
    if not chances:
        return None, _NOWHERE, _why(rows.missed(rules[0]), constraint, sides)
    last = len(chances) - 1
    aimed = [j for j, chance in enumerate(chances) if chance >= sides.misses.aim]
    taken = aimed[-1] if aimed else int(np.argmax(chances))
    bound_by: BoundBy = "aim" if taken < last else "nothing" if last == len(rules) - 1 else "certificate"
    return rules[taken], Stop(taken, bound_by, chances[taken]), ""


def _why(first: Counts, constraint: Constraint, sides: Sides) -> str:
    """Say what the first rule of the sequence showed, how many positives it would need, and what it could certify."""
    misses, positives = int(first.errors[0]), int(first.answered[0])
    needed = positives_needed(constraint.max_fnr, misses, constraint.confidence)
    return (
        f"The rule that accepts the fewest has {misses:,} misses among {positives:,} accepted positives of val_calib; "
        f"FNR <= {constraint.max_fnr} at {constraint.confidence:.0%} needs {needed:,} for that many misses, and these "
        f"could certify FNR <= {float(sides.misses.upper(first)[0]):.4f}."
    )


def _collapsed(gate_N: np.ndarray) -> bool:
    """Say whether the gate has fewer than three distinct values."""
    if not len(gate_N):
        return True
    low, high = gate_N.min(), gate_N.max()
    return bool(((gate_N == low) | (gate_N == high)).all())
