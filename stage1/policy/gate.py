"""The gate policy: answer where the model's own gate is sure enough, label by a threshold on the margin."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from stage1.calibration.activations import sigmoid
from stage1.calibration.platt import Platt
from stage1.errors import BadData
from stage1.policy.base import ExitPolicy, answer, single_sets
from stage1.policy.config import Aim, Constraint, PolicyName, Section
from stage1.policy.predictions import Decisions, Floats, Predictions, margin


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
    def fit(cls, predictions: Predictions, constraint: Constraint, *, aim: Aim | None = None) -> "GatePolicy":
        """Fit on val_calib by fixed-sequence testing; see stage1.policy.fitting.gate."""
        from stage1.policy.fitting.gate import fit_gate

        return fit_gate(predictions, constraint, aim or Aim())

    def decide(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Decisions:
        """Answer where the gate is sure enough."""
        d, g = margin(logits), gate_scores(gate)
        answered = (g > (-np.inf if self.accept_above is None else self.accept_above)) & np.isfinite(d)
        label = d >= self.positive_from
        return answer(self.feasible, answered, label, sigmoid(d), single_sets(answered, label))

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:  # noqa: ARG002
        """Return the gate logit: Platt scaling with a positive slope cannot change its ranking."""
        return gate_scores(gate)

    def acceptance(self, gate: ArrayLike) -> Floats:
        """Return the calibrated probability (N) that the label is right, given the gate."""
        return Platt.from_json(self.platt.model_dump()).apply(gate_scores(gate))


def gate_scores(gate: ArrayLike | None) -> Floats:
    """Return gate logits as float64, NaN where not finite."""
    if gate is None:
        raise BadData("This policy reads the gate: give the model's gate logits beside the logits.")
    scores = np.array(gate, dtype=np.float64)
    scores[~np.isfinite(scores)] = np.nan
    return scores
