"""SCRC: the gate accepts, Dirichlet-calibrated prediction sets answer where they hold exactly one class."""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from stage1.calibration.activations import sigmoid
from stage1.calibration.dirichlet import Dirichlet
from stage1.policy.base import ExitPolicy, answer
from stage1.policy.config import Aim, Constraint, PolicyName, ScrcOptions, Section
from stage1.policy.gate import gate_scores
from stage1.policy.predictions import Bools, Decisions, Floats, Predictions, logit_pairs, margin


class DirichletMap(Section):
    """softmax(weight @ ln p + intercept)."""

    weight: tuple[tuple[float, float], tuple[float, float]]
    intercept: tuple[float, float]
    off_diagonal: float
    intercept_penalty: float
    findings: tuple[str, ...] = ()


class ScrcPolicy(ExitPolicy):
    """Accept iff gate >= accept_from; class k is in the set iff its calibrated log-odds are >= set_from.

    In probabilities f_k >= 1 - lambda2 with set_from = logit(1 - lambda2); log-odds do not saturate. The empty set
    and {0, 1} defer, and so does what the gate does not accept.
    """

    name: ClassVar[PolicyName] = "scrc"
    file: ClassVar[str] = "scrc/scrcparams.json"

    schema_id: Literal["stage1/scrcparams/v1"] = Field("stage1/scrcparams/v1", alias="schema")
    dirichlet: DirichletMap
    accept_from: float | None = Field(description="Accept iff gate logit >= this; null: accept everything.")
    set_from: float | None = Field(description="logit(1 - lambda2); null: every set is {0, 1}.")

    @classmethod
    def fit(
        cls,
        predictions: Predictions,
        constraint: Constraint,
        *,
        aim: Aim | None = None,
        options: ScrcOptions | None = None,
    ) -> "ScrcPolicy":
        """Fit on val_calib by SCRC-T; see stage1.policy.fitting.scrc."""
        from stage1.policy.fitting.scrc import fit_scrc

        return fit_scrc(predictions, constraint, aim or Aim(), options or ScrcOptions())

    def decide(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Decisions:
        """Answer accepted images whose prediction set is a single class."""
        log_odds, g = self.log_odds(logits), gate_scores(gate)
        accepted = (g >= (-np.inf if self.accept_from is None else self.accept_from)) & np.isfinite(log_odds)
        sets = prediction_sets(log_odds, -np.inf if self.set_from is None else self.set_from)
        sets[~accepted] = True
        answered = sets[:, 0] != sets[:, 1]
        label = np.where(answered, sets[:, 1], log_odds >= 0)
        return answer(self.feasible, answered, label, sigmoid(log_odds), sets)

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:  # noqa: ARG002
        """Return |calibrated log-odds|: it ranks as the highest calibrated probability does."""
        return np.abs(self.log_odds(logits))

    def log_odds(self, logits: ArrayLike) -> Floats:
        """Return calibrated log-odds of class 1; NaN where the logits are not finite."""
        data: dict[str, Any] = self.dirichlet.model_dump()
        return calibrated_log_odds(Dirichlet.from_json(data), logits)


def calibrated_log_odds(dirichlet: Dirichlet, logits: ArrayLike) -> Floats:
    """Return the map's log-odds of class 1, a function of the margin alone; NaN where that is not finite."""
    d = margin(logit_pairs(logits))
    scores = dirichlet.log_scores(np.column_stack([np.zeros(len(d)), np.nan_to_num(d)]))
    result = scores[:, 1] - scores[:, 0]
    result[np.isnan(d)] = np.nan
    return result


def prediction_sets(log_odds_N: Floats, set_from: float) -> Bools:
    """Return which classes (N, 2) have calibrated log-odds >= set_from."""
    return np.column_stack([-log_odds_N >= set_from, log_odds_N >= set_from])
