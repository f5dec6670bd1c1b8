"""Fit the gate policy on val_calib by fixed-sequence testing over acceptance thresholds.

FNR among accepted positives need not be monotone in the gate's threshold, so it may not be swept as the softmax
policy's is. Instead a short sequence of rules is fixed without looking at any positive: rule j accepts what lies above
a quantile of the *negatives'* gate logits (from the median down to everything), and labels by a threshold on the margin
that is itself swept on the accepted negatives. The positives then test the rules from the safest (fewest accepted) on,
each at the full delta by an exact binomial test, stopping at the first failure: with probability 1 - delta no certified
rule breaks max_fnr (Learn then Test). The negatives chose the label thresholds of all rules, so each of those is
certified at delta divided by the number of rules (Bonferroni), whichever rule is taken in the end.

Starting at the median is part of the plan, not of the data: a policy that accepts less is of no use here.
"""

import numpy as np

from stage1.calibration.platt import Platt
from stage1.conformal import positives_needed
from stage1.policy.base import BoundBy
from stage1.policy.config import Aim, Constraint
from stage1.policy.fitting.counts import Counts, one, sweep
from stage1.policy.fitting.evidence import NO_PROMISE, Sides, evidence, judges, nothing_answered, promise
from stage1.policy.fitting.judge import Judge, Stop, stop
from stage1.policy.gate import GatePolicy, PlattMap
from stage1.policy.predictions import Bools, Floats, Predictions

ACCEPTED_NEGATIVES = np.linspace(0.5, 1.0, 26)
_COLLAPSED = "The gate collapsed: it gives (almost) every image the same score, so it ranks nothing."


def fit_gate(predictions: Predictions, constraint: Constraint, aim: Aim) -> GatePolicy:
    """Return the fitted policy, feasible or not."""
    sides = judges(predictions, constraint, aim)
    gate = predictions.gate_scores()
    platt = Platt().fit(gate, ~predictions.errors) if len(gate) else Platt()
    findings = (_COLLAPSED,) if len(np.unique(gate)) < 3 else ()
    rules = _rules(predictions, gate, sides)
    stopped, reason = _test(predictions, constraint, sides, gate, rules)
    common = {
        "constraint": constraint,
        "findings": findings,
        "evidence": nothing_answered(predictions),
        "platt": PlattMap.model_validate(platt.to_json()),
    }
    if stopped.candidate < 0:
        return GatePolicy.model_validate(
            {
                **common,
                "feasible": False,
                "reason": reason,
                "promise": NO_PROMISE,
                "accept_above": None,
                "positive_from": 0.0,
            }
        )
    above, positive_from = rules[stopped.candidate]
    fitted = GatePolicy.model_validate(
        {
            **common,
            "feasible": True,
            "reason": "",
            "promise": promise(predictions, constraint),
            "accept_above": above if np.isfinite(above) else None,
            "positive_from": positive_from,
        }
    )
    return fitted.model_copy(update={"evidence": evidence(fitted, predictions, sides, stopped)})


def _rules(predictions: Predictions, gate_N: Floats, sides: Sides) -> list[tuple[float, float]]:
    """Return (accept above, positive from) of every rule whose false alarms are certified, by the negatives alone."""
    negatives = np.sort(gate_N[~predictions.positive])
    if not len(negatives):
        return []
    strict = Judge(
        sides.false_alarms.limit,
        sides.false_alarms.delta / len(ACCEPTED_NEGATIVES),
        sides.false_alarms.confidence,
        sides.false_alarms.aim,
        sides.false_alarms.test_ratio,
    )
    rejected = np.floor((1 - ACCEPTED_NEGATIVES) * len(negatives) + 1e-9).astype(int)
    levels = [float(negatives[count - 1]) if count else float("-inf") for count in rejected]
    rules = []
    for above in dict.fromkeys(levels):
        accepted = ~predictions.positive & (gate_N > above)
        positive_from = _label_threshold(predictions, accepted, strict)
        if accepted.mean() > 0 and positive_from is not None:
            rules.append((above, positive_from))
    return rules


def _label_threshold(predictions: Predictions, accepted_N: Bools, judge: Judge) -> float | None:
    """Return the lowest margin from which accepted negatives may be called positive, None when none is certified."""
    d = predictions.margin
    rows = np.flatnonzero(accepted_N)
    rows = rows[np.argsort(-d[rows], kind="stable")]
    groups = predictions.group_codes(rows)
    taken = stop(judge, sweep(d[rows], groups, groups, len(rows), joining=False)).candidate
    if taken < 0:
        return None
    distinct = np.unique(d[rows])[::-1]
    failing = float(distinct[taken])
    above = (failing + float(distinct[taken - 1])) / 2 if taken else failing
    return max(above, float(np.nextafter(failing, np.inf)))


def _test(
    predictions: Predictions, constraint: Constraint, sides: Sides, gate_N: Floats, rules: list[tuple[float, float]]
) -> tuple[Stop, str]:
    """Return the certified rule with the largest coverage that meets the aim, or why there is none."""
    if not rules:
        needed = positives_needed(constraint.max_fpr, 0, 1 - constraint.delta / len(ACCEPTED_NEGATIVES))
        return Stop(-1, "certificate", 0.0), (
            f"FPR <= {constraint.max_fpr} needs {needed:,} accepted negatives in val_calib; it has "
            f"{int((~predictions.positive).sum()):,} in all. Use more negatives or a larger max_fpr."
        )
    tested = [_counts(predictions, gate_N, *rule) for rule in rules]
    certified = [bool(sides.misses.certified(counts)[0]) for counts in tested]
    last = certified.index(False) - 1 if False in certified else len(certified) - 1
    if last < 0:
        first = tested[0]
        upper = float(sides.misses.upper(first)[0])
        needed = positives_needed(constraint.max_fnr, int(first.errors[0]), constraint.confidence)
        return Stop(-1, "certificate", 0.0), (
            f"Accepting half of the negatives, val_calib has {int(first.errors[0]):,} misses among "
            f"{int(first.answered[0]):,} accepted positives; FNR <= {constraint.max_fnr} at "
            f"{constraint.confidence:.0%} needs {needed:,} for that many misses, and these could certify "
            f"FNR <= {upper:.4f}."
        )
    chances = [float(sides.misses.pass_probability(counts)[0]) for counts in tested[: last + 1]]
    aimed = [j for j, chance in enumerate(chances) if chance >= sides.misses.aim]
    taken = aimed[-1] if aimed else int(np.argmax(chances))
    bound_by: BoundBy = "aim" if taken < last else "nothing" if last == len(rules) - 1 else "certificate"
    return Stop(taken, bound_by, chances[taken]), ""


def _counts(predictions: Predictions, gate_N: Floats, above: float, positive_from: float) -> Counts:
    """Return the misses of one rule among the positives that it accepts."""
    rows = np.flatnonzero(predictions.positive & (gate_N > above))
    return one(predictions.margin[rows] < positive_from, predictions.group_codes(rows))
