"""The rules that the gate policy tests, fixed before a positive of val_calib is seen, the fewest accepted first.

A rule accepts what lies above a gate logit and labels it by a threshold on the margin. The acceptance levels are few
and come from val_select, which no promise rests on: from the one likeliest to pass up to the last that probably would.
Without val_select they are quantiles of val_calib's negatives. The label thresholds are the lowest that val_calib's
negatives certify; they are chosen for all rules at once, so each is certified at delta divided by the number of rules
(Bonferroni), whichever rule is taken in the end.
"""

from dataclasses import dataclass

import numpy as np

from stage1.policy.fitting.counts import Counts, one
from stage1.policy.fitting.evidence import Sides
from stage1.policy.fitting.judge import stop
from stage1.policy.fitting.ranked import Ranked, parting
from stage1.policy.predictions import Floats, Predictions

FEW = 5
"""Levels tested after val_select has spoken."""
SEARCHED = np.linspace(0.5, 1.0, 26)
"""Shares of the negatives accepted that val_select is searched for; below one half a policy is of no use here."""
UNPLANNED = np.linspace(0.5, 1.0, 11)
_LIKELY, _HOPELESS = 0.5, 0.01


@dataclass(frozen=True)
class Rule:
    """Accept iff gate > above; then class 1 iff margin >= positive_from."""

    above: float
    positive_from: float


@dataclass(frozen=True)
class Gated:
    """Both classes in the order of their margins, each row with its gate logit."""

    positives: Ranked
    negatives: Ranked
    positive_gate: Floats
    negative_gate: Floats

    @classmethod
    def of(cls, predictions: Predictions) -> "Gated":
        """Sort both classes once."""
        gate = predictions.gate_scores()
        positives, negatives = Ranked.positives(predictions), Ranked.negatives(predictions)
        return cls(positives, negatives, gate[positives.rows_N], gate[negatives.rows_N])

    def missed(self, rule: Rule) -> Counts:
        """Return the misses of a rule among the positives that it accepts."""
        accepted = self.positives.take(self.positive_gate > rule.above)
        return one(accepted.d_N < rule.positive_from, accepted.groups_N)


def levels_of(rows: Gated, shares: Floats = UNPLANNED) -> Floats:
    """Return the gate logits above which these shares of the negatives lie, the fewest accepted first."""
    if not len(rows.negatives):
        return np.empty(0)
    ranked = np.sort(rows.negative_gate)
    rejected = np.floor((1 - shares) * len(ranked) + 1e-9).astype(int)
    return np.array(list(dict.fromkeys(float(ranked[count - 1]) if count else float("-inf") for count in rejected)))


def planned_levels(planning: Gated, sides: Sides) -> Floats:
    """Return the levels that val_select speaks for; empty where it gives no rule a chance."""
    rules = rules_of(planning, sides, levels_of(planning, SEARCHED), among=FEW)
    chances = np.array([float(sides.misses.pass_probability(planning.missed(rule))[0]) for rule in rules])
    if not len(chances) or chances.max() < _HOPELESS:
        return np.empty(0)
    first = int(np.argmax(chances))
    last = int(np.flatnonzero(chances >= min(_LIKELY, chances[first]))[-1])
    few = np.unique(np.linspace(first, last, FEW).round().astype(int))
    return np.array([rules[j].above for j in few])


def rules_of(rows: Gated, sides: Sides, levels: Floats, *, among: int) -> list[Rule]:
    """Return the rules at these acceptance levels whose false alarms the negatives certify at delta / `among` each."""
    rules = []
    for above in levels:
        accepted = rows.negatives.take(rows.negative_gate > above)
        if not len(accepted):
            continue
        judge = sides.false_alarms.at(sides.false_alarms.delta / among)
        counts, distinct = accepted.alarms_from_above(judge)
        taken = stop(judge, counts).candidate
        if taken >= 0:
            rules.append(Rule(float(above), parting(distinct, taken)))
    return rules
