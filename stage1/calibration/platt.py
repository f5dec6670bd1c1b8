"""Platt scaling: P(y = 1) = sigmoid(slope * score + intercept), by unpenalised logistic regression.

A positive slope is monotone: it changes probabilities, never the ranking, hence never AUGRC. A slope that is zero or
negative says that the score ranks nothing, or ranks the wrong way round: a finding about the score, not a calibration.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stage1.calibration.activations import Floats, class_labels, scores, sigmoid
from stage1.calibration.findings import NOT_CONVERGED, ONE_CLASS, SEPARABLE
from stage1.calibration.logistic import fit_logistic
from stage1.calibration.rows import Rows
from stage1.errors import BadData

_NEGATIVE = "The slope is not positive: the score does not rank the positives higher. Do not use it as a calibration."


@dataclass
class Platt:
    """Platt scaling of one score. Identity (a logit is a logit) until fitted.

    slope, intercept: On the score's own scale. findings: What a reader must know about the fit, in sentences.
    """

    slope: float = 1.0
    intercept: float = 0.0
    findings: tuple[str, ...] = ()

    def fit(self, score_N: ArrayLike, label_N: ArrayLike) -> "Platt":
        """Fit by maximum likelihood, on data that chose nothing else about the score.

        Newton's method over blocks of images, so that ten million need little more than their scores. There is no
        penalty to choose: two parameters need none. Separable data is fitted to Platt's smoothed targets, one class
        alone to a constant, and a fit that did not converge is dropped for the identity; `findings` says so.

        Args:
            score_N: Finite scores, at least one; higher is meant to be more positive.
            label_N: 0/1.

        Reference: Platt 1999; scikit-learn's LogisticRegression(C=inf).
        """
        score = scores("score", score_N)
        rows = Rows.of(score, class_labels(label_N, len(score), 2))
        if rows.one_class:
            share = rows.smoothed()[1 if rows.num_positives else 0]
            self.slope, self.intercept, self.findings = 0.0, float(np.log(share / (1 - share))), (ONE_CLASS,)
            return self
        separable = rows.parted(either_way=True)
        targets = rows.smoothed() if separable else (0.0, 1.0)
        centre, scale = float(score.mean()), float(score.std()) or 1.0
        fit = fit_logistic(
            rows,
            lambda block: np.column_stack([(block - centre) / scale, np.ones(len(block))]),
            np.zeros(2),
            ridge=np.zeros(2),
            targets=targets,
        )
        if not fit.converged:
            self.slope, self.intercept, self.findings = 1.0, 0.0, (NOT_CONVERGED,)
            return self
        self.slope = float(fit.parameters[0]) / scale
        self.intercept = float(fit.parameters[1]) - self.slope * centre
        self.findings = (SEPARABLE,) * separable + (_NEGATIVE,) * (self.slope <= 0)
        return self

    def apply(self, score_N: ArrayLike) -> Floats:
        """Return P(y = 1) per score."""
        return sigmoid(self.slope * np.asarray(score_N, dtype=np.float64) + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Return numbers that `from_json` turns back into exactly this map."""
        return {"intercept": self.intercept, "slope": self.slope, "findings": list(self.findings)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Platt":
        """Read what `to_json` wrote."""
        try:
            result = cls(float(data["slope"]), float(data["intercept"]), tuple(data["findings"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"Platt needs slope, intercept and findings, got {sorted(data)}: {error!r}.") from error
        if not (isfinite(result.slope) and isfinite(result.intercept)):
            raise BadData(f"Platt needs a finite slope and intercept, got {result.slope} and {result.intercept}.")
        return result
