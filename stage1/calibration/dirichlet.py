"""Dirichlet calibration with ODIR: softmax(W ln p + b), in a form that treats all classes alike.

Penalty: lambda * sum over i != j of W_ij^2 + mu * sum of b_i^2 (off-diagonal and intercept regularisation), added to
the mean negative log-likelihood. Renaming the classes renames the result and nothing else: no reference class.

At K = 2 the log-odds are a ln p_1 - c ln p_0 + (b_1 - b_0) with a = W_11 - W_01 and c = W_00 - W_10, which is beta
calibration. The fit keeps a >= 0 and c >= 0, so the map never reverses the order of two images; conformal thresholds
may then use the data that fitted the map, because a monotone map does not change which images lie beneath a threshold.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stage1.calibration.activations import (
    Floats,
    class_labels,
    log_softmax,
    logit_rows,
    one_hot,
    smoothed_targets,
)
from stage1.errors import BadData

SEPARABLE = (
    "The logits separate the classes, so the likelihood has no maximum; fitted to Platt's smoothed targets instead."
)
_BOUND = "A monotone map was enforced: the unconstrained fit would reverse the order of some images."
_CONVERGED = "The fit stopped before it converged; the map is monotone but may not be the best."


@dataclass
class Dirichlet:
    """Dirichlet calibration; the identity until fitted.

    weight: (K, K); intercept: (K); off_diagonal: lambda; intercept_penalty: mu; findings: sentences about the fit.
    """

    weight: Floats = field(default_factory=lambda: np.eye(2))
    intercept: Floats = field(default_factory=lambda: np.zeros(2))
    off_diagonal: float = 1e-3
    intercept_penalty: float = 1e-3
    findings: tuple[str, ...] = ()

    def fit(self, logits_NK: ArrayLike, label_N: ArrayLike) -> "Dirichlet":
        """Fit W and b by L-BFGS at this object's lambda and mu; `choose_penalty` picks those by cross-validation.

        Args:
            logits_NK: Logits; log-probabilities are logits too.
            label_N: Class per image. Separable data is fitted to smoothed targets and says so in `findings`.

        Reference: Kull et al., NeurIPS 2019, arXiv 1910.12656; beta calibration: Kull et al., AISTATS 2017.
        """
        from stage1.calibration.dirichlet_fit import minimise

        log_p = log_softmax(logit_rows(logits_NK))
        label = class_labels(label_N, *log_p.shape)
        num_classes = log_p.shape[1]
        fit = minimise(log_p, one_hot(label, num_classes), self.off_diagonal, self.intercept_penalty)
        findings = []
        if _separates(log_p @ fit.weight.T + fit.intercept, label):
            findings.append(SEPARABLE)
            fit = minimise(log_p, smoothed_targets(label, num_classes), self.off_diagonal, self.intercept_penalty)
        if not fit.converged:
            findings.append(_CONVERGED)
        if fit.bound_active:
            findings.append(_BOUND)
        self.weight, self.intercept, self.findings = fit.weight, fit.intercept, tuple(findings)
        return self

    def apply(self, logits_NK: ArrayLike) -> Floats:
        """Return probabilities (N, K)."""
        return np.exp(log_softmax(self.log_scores(logits_NK)))

    def log_scores(self, logits_NK: ArrayLike) -> Floats:
        """Return W ln p + b: calibrated logits (N, K)."""
        result: Floats = log_softmax(np.asarray(logits_NK, dtype=np.float64)) @ self.weight.T + self.intercept
        return result

    @property
    def monotone(self) -> bool:
        """Whether the map provably keeps the order of images; only two classes have such an order."""
        weight = self.weight
        return bool(weight.shape == (2, 2) and weight[1, 1] >= weight[0, 1] and weight[0, 0] >= weight[1, 0])

    def to_json(self) -> dict[str, Any]:
        """Return numbers that `from_json` turns back into exactly this map."""
        return {
            "weight": self.weight.tolist(),
            "intercept": self.intercept.tolist(),
            "off_diagonal": self.off_diagonal,
            "intercept_penalty": self.intercept_penalty,
            "findings": list(self.findings),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Dirichlet":
        """Read what `to_json` wrote."""
        try:
            weight = np.array(data["weight"], dtype=np.float64)
            intercept = np.array(data["intercept"], dtype=np.float64)
            penalties = float(data["off_diagonal"]), float(data["intercept_penalty"])
            findings = tuple(data["findings"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"Dirichlet needs weight, intercept, penalties and findings: {error!r}.") from error
        if weight.shape != (len(intercept), len(intercept)) or not np.isfinite(weight).all():
            raise BadData(f"Dirichlet needs a finite square weight beside its intercept, got shape {weight.shape}.")
        return cls(weight, intercept, *penalties, findings)


def _separates(scores_NK: Floats, label_N: np.ndarray) -> bool:
    """Say whether every image's own class scores strictly highest."""
    rows = np.arange(len(label_N))
    own = scores_NK[rows, label_N].copy()
    others = scores_NK.copy()
    others[rows, label_N] = -np.inf
    return bool((own > others.max(axis=1)).all())
