"""Platt scaling: P(y = 1) = sigmoid(slope * score + intercept), by unpenalised logistic regression.

A positive slope is monotone: it changes probabilities, never the ranking, hence never AUGRC. A slope that is zero or
negative says that the score ranks nothing, or ranks the wrong way round: a finding about the score, not a calibration.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stage1.calibration.activations import Floats, class_labels, one_hot, scores, sigmoid, smoothed_targets
from stage1.errors import BadData

SEPARABLE = (
    "The scores separate the classes, so the likelihood has no maximum; fitted to Platt's smoothed targets instead."
)
ONE_CLASS = "Only one class was given, so the score cannot be judged; the probability is a constant (Platt's target)."
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

        Separable data is fitted to Platt's smoothed targets, one class alone to a constant; `findings` says so.

        Reference: Platt 1999; scikit-learn's LogisticRegression(C=inf).
        """
        from sklearn.linear_model import LogisticRegression

        score = scores("score", score_N)
        label = class_labels(label_N, len(score), 2)
        if label.min() == label.max():
            return self._constant(smoothed_targets(label, 2)[0])
        centre, scale = float(score.mean()), float(score.std()) or 1.0
        feature = ((score - centre) / scale)[:, None]
        separable = _separable(score, label)
        targets = smoothed_targets(label, 2) if separable else one_hot(label, 2)
        # Soft targets: every image once as each class, weighted by its target.
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        model.fit(
            np.concatenate([feature, feature]),
            np.repeat([0, 1], len(score)),
            sample_weight=np.concatenate([targets[:, 0], targets[:, 1]]),
        )
        self.slope = float(model.coef_[0, 0]) / scale
        self.intercept = float(model.intercept_[0]) - self.slope * centre
        self.findings = (SEPARABLE,) * separable + (_NEGATIVE,) * (self.slope <= 0)
        return self

    def _constant(self, targets_2: Floats) -> "Platt":
        self.slope, self.intercept = 0.0, float(np.log(targets_2[1] / targets_2[0]))
        self.findings = (ONE_CLASS,)
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
            return cls(float(data["slope"]), float(data["intercept"]), tuple(data["findings"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"Platt needs slope, intercept and findings, got {sorted(data)}: {error!r}.") from error


def _separable(score_N: Floats, label_N: np.ndarray) -> bool:
    """Say whether some threshold leaves no overlap between two classes (touching at one value counts)."""
    negatives, positives = score_N[label_N == 0], score_N[label_N == 1]
    if score_N.min() == score_N.max():
        return False  # nothing to separate by: the intercept alone is fitted, and is finite
    return bool(negatives.max() <= positives.min() or positives.max() <= negatives.min())
