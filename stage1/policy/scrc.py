"""SCRC: the gate accepts, Dirichlet-calibrated prediction sets answer where they hold exactly one class."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from stage1.policy.base import BLOCK, ExitPolicy, write_probability, write_sets
from stage1.policy.config import Aim, Constraint, PolicyName, ScrcOptions, Section
from stage1.policy.predictions import Bools, Decisions, Floats, Predictions, margin


class DirichletMap(Section):
    """softmax(weight @ ln p + intercept)."""

    weight: tuple[tuple[float, float], tuple[float, float]]
    intercept: tuple[float, float]
    off_diagonal: float
    intercept_penalty: float
    findings: tuple[str, ...] = ()

    def log_odds(self, d_N: Floats) -> Floats:
        """Return the map's log-odds of class 1 (N), a function of the margin alone; NaN stays NaN."""
        (zero_zero, zero_one), (one_zero, one_one) = self.weight
        result_N = np.empty(len(d_N))
        for start in range(0, len(d_N), BLOCK):
            d = d_N[start : start + BLOCK]
            both = np.log1p(np.exp(-np.abs(d)))
            # ln p_1 = min(d, 0) - both and ln p_0 = min(-d, 0) - both.
            part = result_N[start : start + BLOCK]
            np.multiply(one_one - zero_one, np.minimum(d, 0.0) - both, out=part)
            part += (one_zero - zero_zero) * (np.minimum(-d, 0.0) - both)
            part += self.intercept[1] - self.intercept[0]
        return result_N


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

    def _block(self, d_N: Floats, gate_N: Floats, found: Decisions) -> None:
        """Answer accepted images whose prediction set is a single class."""
        log_odds_N = self.dirichlet.log_odds(d_N)
        if self.feasible:
            accepted_N = gate_N >= (-np.inf if self.accept_from is None else self.accept_from)
            accepted_N &= np.isfinite(gate_N) & np.isfinite(log_odds_N)
        else:
            accepted_N = np.zeros(len(d_N), dtype=np.bool_)
        deferred_N = ~accepted_N
        zero_N, one_N = prediction_sets(log_odds_N, -np.inf if self.set_from is None else self.set_from)
        zero_N |= deferred_N
        one_N |= deferred_N
        answered_N = zero_N != one_N
        found.answered[:] = answered_N
        found.label[:] = np.where(answered_N, one_N, log_odds_N >= 0)
        write_sets(found, zero_N, one_N)
        write_probability(found, log_odds_N)

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:  # noqa: ARG002
        """Return |calibrated log-odds|: it ranks as the highest calibrated probability does."""
        return np.abs(self.log_odds(logits))

    def log_odds(self, logits: ArrayLike) -> Floats:
        """Return calibrated log-odds of class 1; NaN where the logits are not finite."""
        return self.dirichlet.log_odds(margin(logits))


def prediction_sets(log_odds_N: Floats, set_from: float) -> tuple[Bools, Bools]:
    """Return whether class 0 and whether class 1 is in each set: their calibrated log-odds are >= set_from."""
    return log_odds_N <= -set_from, log_odds_N >= set_from
