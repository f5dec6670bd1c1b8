"""Fit all three policies and pick the one that ships."""

from collections.abc import Mapping

from stage1.errors import BadConfig
from stage1.policy.artifact import POLICIES
from stage1.policy.base import ExitPolicy
from stage1.policy.config import CalibrateConfig, PolicyName
from stage1.policy.gate import GatePolicy
from stage1.policy.predictions import Predictions
from stage1.policy.scrc import ScrcPolicy
from stage1.policy.softmax import SoftmaxPolicy


def fit(
    name: PolicyName, predictions: Predictions, config: CalibrateConfig, planning: Predictions | None = None
) -> ExitPolicy:
    """Return one policy fitted on val_calib, feasible or not.

    Args:
        name: Which one.
        predictions: val_calib: what the promise rests on.
        config: Constraint, aim, options.
        planning: val_select, for what must be chosen without val_calib (how many negatives to answer, which acceptance
            levels to test); None plans less well and promises the same.
    """
    constraint, aim = config.constraint, config.aim
    if name == "softmax":
        return SoftmaxPolicy.fit(predictions, constraint, aim=aim, planning=planning)
    if name == "gate":
        return GatePolicy.fit(predictions, constraint, aim=aim, planning=planning)
    return ScrcPolicy.fit(predictions, constraint, aim=aim, options=config.scrc)


def fit_all(
    predictions: Predictions, config: CalibrateConfig, planning: Predictions | None = None
) -> dict[PolicyName, ExitPolicy]:
    """Return the three policies fitted on val_calib; infeasible ones included."""
    return {name: fit(name, predictions, config, planning) for name in POLICIES}


def choose(
    policies: Mapping[PolicyName, ExitPolicy],
    predictions: Predictions,
    exit_policy: str,
) -> str:
    """Return the policy that ships: the one asked for, or the best.

    `best` is the highest coverage on val_calib among feasible policies; on a tie, and when none is feasible, the first
    in the order given (softmax first: it carries the strongest promise).
    """
    if exit_policy != "best":
        if exit_policy not in policies:
            raise BadConfig(f"exit_policy must be one of {', '.join(policies)} or best, got {exit_policy!r}.")
        return exit_policy
    if not policies:
        raise BadConfig("There is no policy to choose from.")
    return max(policies, key=lambda name: coverage(policies[name], predictions))


def coverage(policy: ExitPolicy, predictions: Predictions) -> float:
    """Return the share of images answered; an infeasible policy answers none."""
    if not len(predictions):
        return 0.0
    return float(policy.decide(predictions.logits, predictions.gate).answered.mean())
