"""From the model's numbers to answers, through the bundle's policy.

Shapes: N images.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stage1.policy import ExitPolicy


@dataclass(frozen=True)
class Answer:
    """What the bundle says about one image.

    Attributes:
        answer: "exit": this is the answer. "defer": ask the second stage.
        label: The class, where the answer is "exit".
        label_set: The classes that the policy could not rule out; the label alone where the answer is "exit".
        probability: That the image is of the positive class, in [0, 1]; NaN where the model gave no finite number.
        confidence: How sure, higher is surer, on the policy's own scale; NaN as above.
    """

    answer: Literal["exit", "defer"]
    label: str | None
    label_set: tuple[str, ...]
    probability: float
    confidence: float


def answers(
    policy: ExitPolicy, classes: tuple[str, str], logits_N2: NDArray[np.float64], gate_N: NDArray[np.float64]
) -> list[Answer]:
    """Return one answer an image; where a number is not finite, a deferral that rules nothing out."""
    finite_N = np.isfinite(logits_N2).all(axis=1) & np.isfinite(gate_N)
    result = [Answer("defer", None, classes, float("nan"), float("nan"))] * len(gate_N)
    if not finite_N.any():
        return result
    decisions = policy.decide(logits_N2[finite_N], gate_N[finite_N])
    confidence_M = policy.confidence(logits_N2[finite_N], gate_N[finite_N])
    for row, index in enumerate(np.flatnonzero(finite_N)):
        exits = bool(decisions.answered[row])
        result[index] = Answer(
            answer="exit" if exits else "defer",
            label=classes[int(decisions.label[row])] if exits else None,
            label_set=tuple(name for name, kept in zip(classes, decisions.set[row], strict=True) if kept),
            probability=float(decisions.probability[row]),
            confidence=float(confidence_M[row]),
        )
    return result
