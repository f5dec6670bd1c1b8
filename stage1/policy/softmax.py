"""The threshold sweep: exit positive at a high margin, negative at a low one, defer between."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from stage1.policy.base import ExitPolicy, write_probability, write_single
from stage1.policy.config import Aim, Constraint, PolicyName
from stage1.policy.predictions import Decisions, Floats, Predictions, margin


class SoftmaxPolicy(ExitPolicy):
    """Two thresholds on d = z1 - z0."""

    name: ClassVar[PolicyName] = "softmax"
    file: ClassVar[str] = "softmax/thresholds.json"
    reads_gate: ClassVar[bool] = False

    schema_id: Literal["stage1/thresholds/v1"] = Field("stage1/thresholds/v1", alias="schema")
    negative_below: float | None = Field(description="Exit as class 0 iff d < this; null: never.")
    positive_from: float | None = Field(description="Exit as class 1 iff d >= this; null: never.")

    @classmethod
    def fit(
        cls,
        predictions: Predictions,
        constraint: Constraint,
        *,
        aim: Aim | None = None,
        planning: Predictions | None = None,
    ) -> "SoftmaxPolicy":
        """Fit on val_calib by the exact sweep, planned on val_select; see stage1.policy.fitting.softmax."""
        from stage1.policy.fitting.softmax import fit_softmax

        return fit_softmax(predictions, constraint, aim or Aim(), planning)

    def _block(self, d_N: Floats, gate_N: Floats, found: Decisions) -> None:  # noqa: ARG002
        """Exit where d is beyond a threshold."""
        below, above = -np.inf, np.inf
        if self.feasible:
            below = -np.inf if self.negative_below is None else self.negative_below
            above = np.inf if self.positive_from is None else self.positive_from
        positive_N = d_N >= above
        negative_N = d_N < below
        # Where nothing is answered the label is the likelier class.
        write_single(found, negative_N | positive_N, positive_N | (d_N >= 0) & ~negative_N)
        write_probability(found, d_N)

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:  # noqa: ARG002
        """Return |d|: it ranks exactly as the highest softmax probability does, without saturating."""
        return np.abs(margin(logits))
