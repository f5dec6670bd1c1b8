"""The gate policy: answer where the model's own gate is sure enough, label by a threshold on the margin."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from stage1.calibration.platt import Platt
from stage1.policy.base import ExitPolicy, gate_scores, write_probability, write_single
from stage1.policy.config import Aim, Constraint, PolicyName, Section
from stage1.policy.predictions import Decisions, Floats, Predictions, logit_pairs


class PlattMap(Section):
    """P(the label is right) = sigmoid(slope * gate + intercept)."""

    slope: float
    intercept: float
    findings: tuple[str, ...] = ()


class GatePolicy(ExitPolicy):
    """Accept iff the gate logit is above a threshold; then class 1 iff d >= a second one."""

    name: ClassVar[PolicyName] = "gate"
    file: ClassVar[str] = "gate/gateparams.json"

    schema_id: Literal["stage1/gateparams/v1"] = Field("stage1/gateparams/v1", alias="schema")
    platt: PlattMap = Field(
        description="Platt scaling of the gate; it changes no decision while its slope is positive."
    )
    accept_above: float | None = Field(description="Accept iff gate logit > this; null: accept everything.")
    positive_from: float = Field(description="Among accepted, class 1 iff d >= this.")

    @classmethod
    def fit(
        cls,
        predictions: Predictions,
        constraint: Constraint,
        *,
        aim: Aim | None = None,
        planning: Predictions | None = None,
    ) -> "GatePolicy":
        """Fit on val_calib by fixed-sequence testing, planned on val_select; see stage1.policy.fitting.gate."""
        from stage1.policy.fitting.gate import fit_gate

        return fit_gate(predictions, constraint, aim or Aim(), planning)

    def _block(self, d_N: Floats, gate_N: Floats, found: Decisions) -> None:
        """Answer where the gate is sure enough."""
        if self.feasible:
            answered_N = gate_N > (-np.inf if self.accept_above is None else self.accept_above)
            answered_N &= np.isfinite(gate_N) & np.isfinite(d_N)
        else:
            answered_N = np.zeros(len(d_N), dtype=np.bool_)
        write_single(found, answered_N, d_N >= self.positive_from)
        write_probability(found, d_N)

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:
        """Return the gate logit, NaN where not finite; Platt scaling with a positive slope keeps its ranking."""
        return _finite(gate_scores(gate, len(logit_pairs(logits))))

    def acceptance(self, gate: ArrayLike) -> Floats:
        """Return the calibrated probability (N) that the label is right, given the gate; NaN where not finite."""
        return Platt.from_json(self.platt.model_dump()).apply(_finite(gate_scores(gate, len(np.asarray(gate)))))


def _finite(scores_N: NDArray[np.float32] | Floats) -> Floats:
    finite = np.array(scores_N, dtype=np.float64)
    finite[~np.isfinite(finite)] = np.nan
    return finite
