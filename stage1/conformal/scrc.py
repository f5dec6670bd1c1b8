"""Selective conformal risk control (Xu, Guo, Wei, arXiv 2512.12844): accept by one score, then control misses. SCRC-T.

An image is accepted when its gate score is high enough; among accepted images the prediction set holds class 1 when
the positive score is >= a second threshold. The loss is a positive whose set lacks class 1, and the calibration set is
the accepted positives. The promises are about images *accepted* by the gate; what is answered after empty and double
sets are deferred is a different population (see policy).
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.conformal.crc import crc_threshold
from stage1.errors import BadData


@dataclass(frozen=True)
class ScrcThresholds:
    """accept: accept iff gate >= accept; positive: class 1 is in the set iff score >= positive (-inf: always).

    positives: accepted calibration positives behind the second threshold.
    """

    accept: float
    positive: float
    positives: int


def scrc_t(
    gate_N: ArrayLike, positive_scores_N: ArrayLike, label_N: ArrayLike, *, xi: float, alpha: float
) -> ScrcThresholds:
    """Return the thresholds of SCRC-T: in expectation, FNR among accepted images <= alpha, coverage at least xi.

    The transductive acceptance threshold is the ascending order statistic with 0-based index
    k = floor((1 - xi)(n + 1)) over the n calibration scores and the test score together. For k >= 1 that is a fixed
    rule: accept iff gate >= s[k-1], calibrating on gate >= s[k]; k = 0 accepts everything. With ties an image at
    exactly s[k-1] calibrates on gate >= s[k-1], so the safer of the two thresholds is used for all.

    Args:
        gate_N: Acceptance scores of all calibration images (higher is surer).
        positive_scores_N: Scores of class 1 of the same images.
        label_N: 0/1.
        xi: Coverage wanted, in (0, 1]; chosen beforehand (a search over xi on the same data voids the promise).
        alpha: Tolerated false-negative rate among accepted images.
    """
    gate, score, label = columns(gate_N, positive_scores_N, label_N)
    if not 0 < xi <= 1:
        raise BadData(f"xi must lie in (0, 1], got {xi}.")
    index = floor((1 - Fraction(str(float(xi)))) * (len(gate) + 1))
    if index == 0:
        return ScrcThresholds(float("-inf"), crc_threshold(score[label], alpha), int(label.sum()))
    ranked = np.sort(gate)
    accept = float(ranked[index - 1])
    calibrating = label & (gate >= ranked[index] if index < len(gate) else np.zeros(len(gate), dtype=bool))
    positive = crc_threshold(score[calibrating], alpha)
    if len(np.unique(ranked)) < len(ranked):
        positive = min(positive, crc_threshold(score[label & (gate >= accept)], alpha))
    return ScrcThresholds(accept, positive, int(calibrating.sum()))


def columns(
    gate_N: ArrayLike, score_N: ArrayLike, label_N: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return gate scores, positive scores and "is positive" as checked arrays of one row per image."""
    gate, score = np.asarray(gate_N, dtype=np.float64), np.asarray(score_N, dtype=np.float64)
    label = np.asarray(label_N)
    if gate.ndim != 1 or not len(gate) or gate.shape != score.shape or gate.shape != label.shape:
        raise BadData(f"gate, scores and labels need one row per image: {gate.shape}, {score.shape}, {label.shape}.")
    if np.isnan(gate).any() or np.isnan(score).any() or not np.isin(label, (0, 1)).all():
        raise BadData("gate and scores must not be NaN and labels must be 0 or 1.")
    return gate, score, label == 1
