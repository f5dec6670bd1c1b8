"""What a fitted policy says about itself: how it was judged, its counts on val_calib, its promise in words."""

from dataclasses import dataclass

import numpy as np

from stage1.policy.base import Evidence, ExitPolicy
from stage1.policy.config import Aim, Constraint
from stage1.policy.fitting.counts import one
from stage1.policy.fitting.judge import Judge, Stop
from stage1.policy.predictions import Predictions

NO_PROMISE = "None: every image is deferred."
_FALSE_ALARM_AIM = 0.99


@dataclass(frozen=True)
class Sides:
    """The judges of misses and of false alarms."""

    misses: Judge
    false_alarms: Judge


def judges(predictions: Predictions, constraint: Constraint, aim: Aim) -> Sides:
    """Return the two judges; val_test is expected to have negatives in the same proportion as positives.

    False alarms are aimed at .99, so that both bounds together pass about as often as the FNR bound alone.
    """
    positives = max(int(predictions.positive.sum()), 1)
    ratio = 1.0 if aim.test_positives is None else aim.test_positives / positives
    delta, confidence = constraint.delta, constraint.confidence
    return Sides(
        Judge(constraint.max_fnr, delta, confidence, aim.pass_probability, ratio),
        Judge(constraint.max_fpr, delta, confidence, _FALSE_ALARM_AIM, ratio),
    )


def evidence(policy: ExitPolicy, predictions: Predictions, sides: Sides, stopped: Stop) -> Evidence:
    """Return what the policy does on the data that fitted it."""
    decisions = policy.decide(predictions.logits, predictions.gate)
    positives = np.flatnonzero(decisions.answered & predictions.positive)
    negatives = np.flatnonzero(decisions.answered & ~predictions.positive)
    missed = one(decisions.label[positives] == 0, predictions.group_codes(positives))
    alarmed = one(decisions.label[negatives] == 1, predictions.group_codes(negatives))
    return Evidence(
        images=len(predictions),
        positives=int(predictions.positive.sum()),
        answered=int(decisions.answered.sum()),
        answered_positives=len(positives),
        misses=int(missed.errors[0]),
        fnr_upper=float(sides.misses.upper(missed)[0]),
        answered_negatives=len(negatives),
        false_alarms=int(alarmed.errors[0]),
        fpr_upper=float(sides.false_alarms.upper(alarmed)[0]),
        design_effect=float(sides.misses.design_effect(missed)[0]),
        pass_probability=stopped.pass_probability,
        bound_by=stopped.bound_by,
    )


def nothing_answered(predictions: Predictions) -> Evidence:
    """Return the evidence of a policy that defers everything."""
    return Evidence(
        images=len(predictions),
        positives=int(predictions.positive.sum()),
        answered=0,
        answered_positives=0,
        misses=0,
        fnr_upper=1.0,
        answered_negatives=0,
        false_alarms=0,
        fpr_upper=1.0,
        design_effect=1.0,
        pass_probability=0.0,
        bound_by="certificate",
    )


def promise(predictions: Predictions, constraint: Constraint) -> str:
    """Return the promise of the two policies that hold with probability 1 - delta."""
    grouped = (
        ""
        if predictions.groups is None
        else " Images come in groups, so the probability is approximate (Korn-Graubard effective counts)."
    )
    return (
        f"With probability {constraint.confidence:.0%} over the draw of val_calib, among new images that are answered "
        f"at most {constraint.max_fnr:.1%} of the positives are called negative; and with the same probability at most "
        f"{constraint.max_fpr:.1%} of the negatives are called positive.{grouped}"
    )
