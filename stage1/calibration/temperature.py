"""Temperature scaling: softmax(logits / T), one positive number, which changes no ranking within an image.

The negative log-likelihood is convex in b = 1 / T, so b is the root of its derivative, found by bracketing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stage1.calibration.activations import Floats, class_labels, log_softmax, logit_rows
from stage1.calibration.rows import blocks
from stage1.errors import BadData

_SEPARABLE = (
    "Every image is classified right, so the best temperature would be 0; the logits are left as they are (T = 1)."
)
_CHANCE = (
    "The logits are no better than chance, so the best temperature is infinite; they are left as they are (T = 1)."
)


@dataclass
class Temperature:
    """Temperature scaling of K >= 2 logits; T = 1 until fitted."""

    temperature: float = 1.0
    findings: tuple[str, ...] = ()

    def fit(self, logits_NK: ArrayLike, label_N: ArrayLike) -> "Temperature":
        """Fit T by maximum likelihood; where no finite positive T is best, keep T = 1 and say so in `findings`.

        One parameter needs no penalty. Images are read in blocks.

        Args:
            logits_NK: Finite logits, K >= 2; log-probabilities are logits too.
            label_N: Class per image.

        Reference: Guo et al., ICML 2017; agrees with scikit-learn's CalibratedClassifierCV(method='temperature').
        """
        from scipy.optimize import brentq

        logits = logit_rows(logits_NK)
        label = class_labels(label_N, *logits.shape)

        def slope(b: float) -> float:
            total = 0.0
            for block in blocks(len(logits)):
                rows = logits[block]
                expected = (np.exp(log_softmax(b * rows)) * rows).sum(axis=1)
                total += float((expected - rows[np.arange(len(rows)), label[block]]).sum())
            return total / len(logits)

        self.temperature, self.findings = 1.0, ()
        if slope(0.0) >= 0:
            self.findings = (_CHANCE,)
        elif all(
            (logits[block][np.arange(len(label[block])), label[block]] >= logits[block].max(axis=1)).all()
            for block in blocks(len(logits))
        ):
            self.findings = (_SEPARABLE,)
        else:
            high = 1.0
            while slope(high) < 0:
                high *= 2
            self.temperature = 1 / float(brentq(slope, 0.0, high, xtol=1e-14, rtol=1e-14))
        return self

    def apply(self, logits_NK: ArrayLike) -> Floats:
        """Return probabilities (N, K); NaN in a row whose logits are not numbers."""
        return np.exp(log_softmax(np.asarray(logits_NK, dtype=np.float64) / self.temperature))

    def to_json(self) -> dict[str, Any]:
        """Return numbers that `from_json` turns back into exactly this map."""
        return {"temperature": self.temperature, "findings": list(self.findings)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Temperature":
        """Read what `to_json` wrote."""
        try:
            result = cls(float(data["temperature"]), tuple(data["findings"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"Temperature needs temperature and findings, got {sorted(data)}: {error!r}.") from error
        if not 0 < result.temperature < float("inf"):
            raise BadData(f"temperature must be positive and finite, got {result.temperature}.")
        return result
