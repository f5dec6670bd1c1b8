"""Conformal-risk training: lower the false-positive rate at the threshold that conformal calibration would choose.

Each batch plays the calibration that comes after training. The positives of one half give the threshold under which
at most floor((m + 1) alpha) - 1 of them fall; the loss is the soft false-positive rate of the other half's negatives.
Gradients flow through the threshold too, so the positives near it are pushed up while negatives are pushed down.

The threshold is a statistic of the whole batch: it must not be averaged over parts of one.

Shapes: N images, 2 classes, m calibrating positives.

Reference: Yeh et al., NeurIPS 2025, arXiv 2510.08748; the rank is that of conformal risk control (arXiv 2208.02814).
"""

from fractions import Fraction
from math import ceil

from torch import Tensor

from stage1.errors import BadConfig
from stage1.training.config import RiskConfig


def conformal_risk_loss(logits_N2: Tensor, labels_N: Tensor, risk: RiskConfig) -> Tensor:
    """Return the soft false-positive rate of one half of a batch at the conformal threshold of the other.

    Args:
        logits_N2: Of the classifying head, in an order that does not depend on the labels.
        labels_N: 0 or 1.
        risk: Tolerated miss rate, window of the threshold, temperature.

    Raises:
        BadConfig: The batch is too small; see `check_batch`.
    """
    positive_N = labels_N == 1
    check_batch(int(positive_N.sum()), len(labels_N), risk)
    score_N = logits_N2.softmax(dim=1)[:, 1]
    threshold = soft_threshold(score_N[positive_N][::2], risk)
    negatives = score_N[~positive_N][1::2]
    return ((negatives - threshold) / risk.temperature).sigmoid().mean()


def soft_threshold(positive_m: Tensor, risk: RiskConfig) -> Tensor:
    """Return the mean of the positive scores whose ranks lie within the window around the conformal one.

    Args:
        positive_m: Scores of calibrating positives, at least 1 / alpha - 1; higher is surer of a positive.
        risk: The conformal rank, from 0, is floor((m + 1) alpha) - 1; `window` ranks on either side are averaged.
    """
    rank = int((len(positive_m) + 1) * Fraction(str(risk.alpha))) - 1
    return positive_m.sort().values[max(0, rank - risk.window) : rank + risk.window + 1].mean()


def check_batch(num_positives: int, num_images: int, risk: RiskConfig) -> None:
    """Refuse a batch in which conformal calibration promises nothing.

    Raises:
        BadConfig: Every second positive makes fewer than 1 / alpha - 1, where no threshold has the tolerated rate, or
            there are no two negatives.
    """
    needed = ceil(1 / Fraction(str(risk.alpha))) - 1
    if (num_positives + 1) // 2 < needed:
        raise BadConfig(
            f"train.phases: phase crc at alpha {risk.alpha} needs {2 * needed - 1} positives in every batch, half of "
            f"them to calibrate; a batch of {num_images} images has {num_positives}. Raise train.batch_size or "
            "train.positive_share, or tolerate more by train.risk.alpha."
        )
    if num_images - num_positives < 2:
        raise BadConfig(
            f"train.phases: phase crc needs two negatives in every batch, a batch of {num_images} images has "
            f"{num_images - num_positives}. Raise train.batch_size or lower train.positive_share."
        )
