"""Dirichlet calibration with ODIR: softmax(W ln p + b), in a form that treats all classes alike.

Penalty: lambda * sum over i != j of W_ij^2 + mu * sum of b_i^2 (off-diagonal and intercept regularisation), added to
the mean negative log-likelihood. Renaming the classes renames the result and nothing else: no reference class.

At K = 2 it is beta calibration (see `two_class`), where lambda is inert: any two-class map has a form without
off-diagonal weights. The fit keeps both slopes >= 0, so the map never reverses the order of two images; conformal
thresholds may then use the data that fitted the map, because a monotone map does not change which images lie beneath a
threshold.
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
    margins,
    one_hot,
    smoothed_targets,
)
from stage1.calibration.findings import NOT_CONVERGED, ONE_CLASS, SEPARABLE
from stage1.calibration.rows import Rows
from stage1.errors import BadData

_BOUND = "A monotone map was enforced: the unconstrained fit would reverse the order of some images."


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
        """Fit W and b at this object's lambda and mu; `choose_penalty` picks those by cross-validation.

        Newton's method over blocks at K = 2, L-BFGS beyond.

        Args:
            logits_NK: Finite logits; log-probabilities are logits too.
            label_N: Class per image. Separable data and a class alone are fitted to smoothed targets; a fit that did
                not converge is dropped and the logits stay as they are. `findings` says so.

        Reference: Kull et al., NeurIPS 2019, arXiv 1910.12656; beta calibration: Kull et al., AISTATS 2017.
        """
        if np.ndim(logits_NK) == 2 and np.shape(logits_NK)[1] == 2:
            margin = margins(logits_NK)
            return self.fit_rows(Rows.of(margin, class_labels(label_N, len(margin), 2)))
        from stage1.calibration.dirichlet_fit import minimise

        log_p = log_softmax(logit_rows(logits_NK))
        label = class_labels(label_N, *log_p.shape)
        num_classes = log_p.shape[1]
        fit = minimise(log_p, one_hot(label, num_classes), self.off_diagonal, self.intercept_penalty)
        findings: tuple[str, ...] = ()
        if _separates(log_p @ fit.weight.T + fit.intercept, label):
            findings = (ONE_CLASS if label.min() == label.max() else SEPARABLE,)
            fit = minimise(log_p, smoothed_targets(label, num_classes), self.off_diagonal, self.intercept_penalty)
        self.weight, self.intercept, self.findings = fit.weight, fit.intercept, findings
        if not fit.converged:
            self.weight, self.intercept, self.findings = np.eye(num_classes), np.zeros(num_classes), (NOT_CONVERGED,)
        return self

    def fit_rows(self, rows: Rows) -> "Dirichlet":
        """Fit two classes from margins and how many images of each class have them."""
        from stage1.calibration.two_class import fit_two_class

        findings: tuple[str, ...] = (ONE_CLASS,) if rows.one_class else ()
        if not findings and rows.parted(either_way=False):
            findings = (SEPARABLE,)
        targets = rows.smoothed() if findings else (0.0, 1.0)
        fit, bound = fit_two_class(rows, self.intercept_penalty, targets=targets)
        a, c, b = (float(value) for value in fit.parameters)
        self.weight, self.intercept = np.diag([c, a]), np.array([-b / 2, b / 2])
        self.findings = (*findings, _BOUND) if bound and not rows.one_class else findings
        if not fit.converged:
            self.weight, self.intercept, self.findings = np.eye(2), np.zeros(2), (NOT_CONVERGED,)
        return self

    def apply(self, logits_NK: ArrayLike) -> Floats:
        """Return probabilities (N, K); NaN in a row whose logits are not numbers."""
        return np.exp(log_softmax(self.log_scores(logits_NK)))

    def log_scores(self, logits_NK: ArrayLike) -> Floats:
        """Return W ln p + b: calibrated logits (N, K)."""
        with np.errstate(invalid="ignore"):  # 0 * inf where a probability is exactly 0
            result: Floats = log_softmax(np.asarray(logits_NK, dtype=np.float64)) @ self.weight.T + self.intercept
        return result

    def log_odds(self, margin_N: ArrayLike) -> Floats:
        """Return the calibrated log-odds (N) of class 1 from margins z1 - z0; two classes only, NaN stays NaN."""
        from stage1.calibration.two_class import two_class_log_odds

        return two_class_log_odds(np.asarray(margin_N, dtype=np.float64), *self.slopes)

    @property
    def slopes(self) -> tuple[float, float, float]:
        """a, c and b of the log-odds a ln p_1 - c ln p_0 + b at two classes."""
        weight, intercept = self.weight, self.intercept
        if weight.shape != (2, 2):
            raise BadData(f"Log-odds need two classes, this map has {len(weight)}.")
        a, c = weight[1, 1] - weight[0, 1], weight[0, 0] - weight[1, 0]
        return float(a), float(c), float(intercept[1] - intercept[0])

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
        if intercept.ndim != 1 or weight.shape != (len(intercept), len(intercept)):
            raise BadData(f"Dirichlet needs a square weight beside its intercept, got shape {weight.shape}.")
        if not (np.isfinite(weight).all() and np.isfinite(intercept).all()):
            raise BadData("Dirichlet needs a finite weight and intercept.")
        return cls(weight, intercept, *penalties, findings)


def _separates(scores_NK: Floats, label_N: np.ndarray) -> bool:
    """Say whether every image's own class scores strictly highest."""
    rows = np.arange(len(label_N))
    own = scores_NK[rows, label_N].copy()
    others = scores_NK.copy()
    others[rows, label_N] = -np.inf
    return bool((own > others.max(axis=1)).all())
