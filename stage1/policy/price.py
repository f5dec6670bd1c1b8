"""The price of the limit: what each policy answers on val_calib at other limits of FNR, as data for a plot.

The maps of the fitted policies (Platt, Dirichlet) stay; thresholds are fitted afresh at every limit by the policy's own
rule. Coverage on val_calib flatters a little; val_test has the number to quote.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stage1.policy.base import ExitPolicy
from stage1.policy.config import CalibrateConfig, Constraint, PolicyName
from stage1.policy.gate import GatePolicy
from stage1.policy.predictions import Predictions
from stage1.policy.scrc import ScrcPolicy


@dataclass(frozen=True)
class Price:
    """One policy at one limit.

    policy: its name; max_fnr: the limit; feasible: whether it holds (if not, nothing is answered); coverage: share of
    val_calib answered; answered_positives, misses: counts there; fnr_upper: the bound at the constraint's confidence.
    """

    policy: str
    max_fnr: float
    feasible: bool
    coverage: float
    answered_positives: int
    misses: int
    fnr_upper: float


def price(
    policies: Mapping[PolicyName, ExitPolicy],
    predictions: Predictions,
    config: CalibrateConfig,
    planning: Predictions | None = None,
) -> list[Price]:
    """Return a row for every policy and every limit in `config.price_limits`, in that order.

    Args:
        policies: As fitted by `fit_all` with the same data and configuration.
        predictions: val_calib.
        config: Constraint (all but max_fnr is kept), aim, options, limits.
        planning: val_select, or None.
    """
    return [
        _row(name, limit, _refitted(policy, predictions, config, limit, planning))
        for name, policy in policies.items()
        for limit in config.price_limits
    ]


def price_columns(prices: list[Price]) -> dict[str, list[Any]]:
    """Return the rows as columns of equal length, by name."""
    rows = [asdict(row) for row in prices]
    return {name: [row[name] for row in rows] for name in Price.__dataclass_fields__}


def _row(name: str, limit: float, policy: ExitPolicy) -> Price:
    seen = policy.evidence
    share = seen.answered / seen.images if seen.images else 0.0
    return Price(name, limit, policy.feasible, share, seen.answered_positives, seen.misses, seen.fnr_upper)


def _refitted(
    policy: ExitPolicy, predictions: Predictions, config: CalibrateConfig, limit: float, planning: Predictions | None
) -> ExitPolicy:
    constraint: Constraint = config.constraint.model_copy(update={"max_fnr": limit})
    if isinstance(policy, GatePolicy):
        from stage1.policy.fitting.gate import fit_rule

        return fit_rule(predictions, constraint, config.aim, planning, policy.platt)
    if isinstance(policy, ScrcPolicy):
        from stage1.policy.fitting.scrc import fit_thresholds

        return fit_thresholds(predictions, constraint, config.aim, config.scrc, policy.dirichlet)
    from stage1.policy.softmax import SoftmaxPolicy

    return SoftmaxPolicy.fit(predictions, constraint, aim=config.aim, planning=planning)
