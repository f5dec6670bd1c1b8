"""Fit the threshold sweep on val_calib: exact, every distinct score a candidate, no grid.

1. positive_from comes from the negatives alone, so the positives may test what follows. It is lowered through the
   negatives' margins until P(d >= positive_from | negative) <= max_fpr * share would no longer be certified, where
   share is the part of the negatives that is planned to be answered. It is then raised to the lowest positive at or
   above it (what lies between are negatives, better deferred), which no longer counts as evidence.
2. negative_below is raised through the positives' margins beneath it, ties together, while the exact binomial test of
   FNR among answered positives passes. Stopping at the first failure needs no price for testing every score: with
   positive_from fixed, the true rate only grows along the way.
3. FPR among answered negatives needs that enough negatives are answered indeed. Their share depends on the positives
   through negative_below, so its lower bound holds for every threshold at once (one-sided DKW inequality).

The share is planned on val_select (`planning`), which no promise rests on. Where val_calib does not reach it, half and
a quarter of it are tried: each plan spends its own part of delta (RUNGS; Bonferroni), so the first that holds may be
taken. Of a plan's part of the false alarms' delta nine tenths go to the sweep; one tenth of delta is the share's, once.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from stage1.conformal import positives_needed
from stage1.policy.config import Aim, Constraint
from stage1.policy.fitting.counts import Counts, one
from stage1.policy.fitting.evidence import NO_PROMISE, Sides, evidence, judges, nothing_answered, promise
from stage1.policy.fitting.judge import Judge, Stop, stop
from stage1.policy.fitting.ranked import Ranked, parting
from stage1.policy.predictions import Predictions
from stage1.policy.softmax import SoftmaxPolicy

RUNGS = ((1.0, 0.9), (0.5, 0.05), (0.25, 0.05))
"""(share of negatives as a part of the planned one, part of delta)."""
UNPLANNED = 0.5
_SHARES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
_SWEEP_PART = 0.9


@dataclass(frozen=True)
class Rung:
    """Thresholds of one plan; `problem` is empty where they hold."""

    negative_below: float
    positive_from: float
    stopped: Stop
    problem: str


def fit_softmax(
    predictions: Predictions, constraint: Constraint, aim: Aim, planning: Predictions | None = None
) -> SoftmaxPolicy:
    """Return the fitted policy, feasible or not."""
    sides = judges(predictions, constraint, aim)
    planned = aim.answered_negatives or planned_share(planning, constraint, aim)
    ladder = Ladder.of(predictions, constraint, sides)
    tried = []
    for part, weight in RUNGS:
        tried.append(ladder.rung(planned * part, weight))
        if not tried[-1].problem:
            break
    rung = tried[-1]
    feasible = not rung.problem
    fitted = SoftmaxPolicy(
        constraint=constraint,
        feasible=feasible,
        reason="" if feasible else tried[0].problem,
        promise=promise(predictions, constraint) if feasible else NO_PROMISE,
        findings=(_gentler(planned, len(tried)),) if feasible and len(tried) > 1 else (),
        evidence=nothing_answered(predictions),
        negative_below=rung.negative_below if feasible else None,
        positive_from=rung.positive_from if feasible else None,
    )
    if not feasible:
        return fitted
    return fitted.model_copy(update={"evidence": evidence(fitted, predictions, sides, rung.stopped)})


def planned_share(planning: Predictions | None, constraint: Constraint, aim: Aim) -> float:
    """Return the share of negatives to plan for: the largest that val_select reaches with a margin for chance.

    Without val_select, or where it is too small to say, UNPLANNED.
    """
    if planning is None:
        return UNPLANNED
    ladder = Ladder.of(planning, constraint, judges(planning, constraint, aim))
    for share in _SHARES:
        rung = ladder.rung(share, 1.0, chance=2.0)
        if not rung.problem:
            return share
    return _SHARES[-1] if rung.stopped.candidate >= 0 else UNPLANNED


@dataclass(frozen=True)
class Ladder:
    """Both classes in order, and what they are judged by."""

    constraint: Constraint
    sides: Sides
    positives: Ranked
    negatives: Ranked

    @classmethod
    def of(cls, predictions: Predictions, constraint: Constraint, sides: Sides) -> "Ladder":
        """Sort both classes once."""
        return cls(constraint, sides, Ranked.positives(predictions), Ranked.negatives(predictions))

    def rung(self, share: float, weight: float, *, chance: float = 1.0) -> Rung:
        """Return the thresholds for a planned share of negatives at a part of delta.

        Args:
            share: Of the negatives, in (0, 1).
            weight: Part of delta that this plan spends.
            chance: How many times the share's own uncertainty must be left; more than 1 for planning.
        """
        false_alarms = Judge(
            self.constraint.max_fpr * share,
            _SWEEP_PART * weight * self.constraint.delta,
            self.constraint.confidence,
            0.0,
            1.0,
        )
        positive_from = self._positive_from(share, false_alarms)
        if positive_from is None:
            return _failed(self._no_negatives(share, false_alarms))
        misses = self.sides.misses.at(weight * self.constraint.delta)
        start = int(np.searchsorted(self.positives.d_N, positive_from, side="left"))
        if start == len(self.positives):
            return _failed(self._no_positives(misses, 0))
        positive_from = float(self.positives.d_N[start])
        # The positive that marks the threshold is no evidence.
        others = self.positives.take(np.delete(np.arange(len(self.positives)), start))
        counts, distinct = others.misses_below(start, misses)
        stopped = stop(misses, counts)
        if stopped.candidate < 0:
            return _failed(self._no_positives(misses, len(others) - start))
        negative_below = self._between(distinct, stopped.candidate, positive_from)
        return Rung(negative_below, positive_from, stopped, self._shortage(share, negative_below, chance))

    def _positive_from(self, share: float, certificate: Judge) -> float | None:
        """Return the threshold from which images exit as positive, by the negatives alone; None: not certifiable."""
        if not len(self.negatives):
            return None
        counts, distinct = self.negatives.alarms_from_above(certificate)
        certified = certificate.certified(counts)
        if not certified[0]:
            return None
        last = int(np.argmin(certified)) - 1 if not certified.all() else len(certified) - 1
        # The certificate needs the share; the aim expects half way from there to all, as more are usually answered.
        planned = _thinned(counts, (1 + share) / 2)
        taken = max(stop(self.sides.false_alarms, planned.take(slice(0, last + 1))).candidate, 0)
        return parting(distinct, taken)

    def _between(self, distinct: np.ndarray, candidate: int, positive_from: float) -> float:
        """Return negative_below: midway between the first score not allowed and the observed score beneath it."""
        if candidate == len(distinct):
            return positive_from
        failing = float(distinct[candidate])
        beneath = [
            float(side.d_N[count - 1])
            for side in (self.positives, self.negatives)
            if (count := int(np.searchsorted(side.d_N, failing, side="left")))
        ]
        return (failing + max(beneath)) / 2 if beneath else failing

    def _shortage(self, share: float, negative_below: float, chance: float) -> str:
        """Say what is missing when too few negatives are answered for the FPR certificate; empty when it holds."""
        slack = chance * self._slack(negative_below)
        exits = int(np.searchsorted(self.negatives.d_N, negative_below, side="left"))
        found, needed = exits / len(self.negatives), share * (1 - self.constraint.max_fpr)
        if found - slack >= needed:
            return ""
        return (
            f"FPR <= {self.constraint.max_fpr} was planned for {share:.0%} of the negatives answered, which needs "
            f"{needed + slack:.1%} of val_calib's to exit as negative at FNR <= {self.constraint.max_fnr}; {found:.1%} "
            f"do{self._possible(needed + slack)}. Use a smaller answered_negatives, a larger max_fnr, more images or a "
            "better model."
        )

    def _slack(self, negative_below: float) -> float:
        """Return by how much the answered share of negatives may be overestimated, for all thresholds at once."""
        exits = self.negatives.d_N < negative_below
        effect = self.sides.false_alarms.design_effect(one(exits, self.negatives.groups_N))[0]
        part = (1 - _SWEEP_PART) * self.constraint.delta
        return sqrt(log(1 / part) / 2 / len(self.negatives) * float(effect))

    def _possible(self, share: float) -> str:
        """Say at which FNR that share of negatives would exit."""
        rank = int(np.ceil(share * len(self.negatives)))
        if rank > len(self.negatives):
            return ", and val_calib has too few negatives to show it"
        level = self.negatives.d_N[rank - 1]
        missed = self.positives.d_N <= level
        upper = float(self.sides.misses.upper(one(missed, self.positives.groups_N))[0]) if len(self.positives) else 1.0
        return f", and that many would at FNR <= {upper:.4f}"

    def _no_negatives(self, share: float, certificate: Judge) -> str:
        needed = positives_needed(certificate.limit, 0, 1 - certificate.delta)
        return (
            f"FPR <= {self.constraint.max_fpr} with {share:.0%} of the negatives answered needs {needed:,} negatives "
            f"in val_calib, got {len(self.negatives):,}. Use more negatives, a larger max_fpr or answered_negatives."
        )

    def _no_positives(self, judge: Judge, positives: int) -> str:
        """Say how many positives are missing, and which FNR these could certify."""
        needed = positives_needed(judge.limit, 0, 1 - judge.delta)
        upper = float(judge.upper(Counts(np.array([0]), np.array([positives])))[0])
        return (
            f"FNR <= {judge.limit} at {self.constraint.confidence:.0%} needs {needed:,} positives answered without a "
            f"miss; val_calib has {positives:,} above the positive threshold, which could certify FNR <= "
            f"{upper:.4f}. Use more positives, a larger max_fnr, a larger max_fpr or a better model."
        )


def _failed(problem: str) -> Rung:
    return Rung(float("nan"), float("nan"), Stop(-1, "certificate", 0.0), problem)


def _gentler(planned: float, tried: int) -> str:
    part, weight = RUNGS[tried - 1]
    return (
        f"The planned {planned:.0%} of the negatives could not be answered; a plan for {planned * part:.0%} holds, at "
        f"the price of certificates with {weight:.0%} of the tolerated error."
    )


def _thinned(counts: Counts, share: float) -> Counts:
    """Return the counts as if only a share of the negatives, with all false alarms among them, were answered."""
    return Counts(
        counts.errors,
        np.maximum(np.floor(share * counts.answered).astype(np.int64), counts.errors),
        None if counts.moments is None else counts.moments * np.array([1.0, share, share**2]),
        counts.num_groups,
    )
