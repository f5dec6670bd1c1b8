"""Losses of the three heads.

Shapes: N images, 2 classes.
"""

from torch import Tensor
from torch.nn import functional

from stage1.model.classifier import Outputs
from stage1.training.config import RiskConfig
from stage1.training.conformal_risk import conformal_risk_loss


def cross_entropy(
    logits_N2: Tensor, labels_N: Tensor, *, positive_weight: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Return each image's cross-entropy [N], positives weighted by `positive_weight`."""
    losses_N = functional.cross_entropy(logits_N2, labels_N, reduction="none", label_smoothing=label_smoothing)
    return losses_N * (1.0 + (positive_weight - 1.0) * labels_N.to(losses_N.dtype))


def selective_loss(losses_N: Tensor, gate_N: Tensor, *, target_coverage: float, coverage_penalty: float) -> Tensor:
    """Return SelectiveNet's objective: mean loss of what the gate accepts, and a penalty for accepting too little.

        sum(l_i g_i) / sum(g_i) + lambda max(0, c - mean(g))^2        g = sigmoid(gate logit)

    The ratio is a statistic of the whole batch: it must not be averaged over parts of one.

    Reference: Geifman and El-Yaniv, ICML 2019, arXiv 1901.09192, equations 5 and 6.
    """
    accept_N = gate_N.sigmoid()
    risk = (losses_N * accept_N).sum() / accept_N.sum().clamp(min=1e-6)
    shortfall = (target_coverage - accept_N.mean()).clamp(min=0)
    return risk + coverage_penalty * shortfall**2


def supervised(
    outputs: Outputs,
    labels_N: Tensor,
    *,
    loss: str,
    positive_weight: float,
    label_smoothing: float,
    target_coverage: float,
    coverage_penalty: float,
    selective_share: float,
    risk: RiskConfig,
) -> Tensor:
    """Return the loss of one batch in the phase `loss`.

    In phase `ce` the heads cls and aux learn the label and the gate learns whether cls is right, without pulling at
    cls, so that it starts the selective phase from a useful place; in phase `selective` it is
    `selective_share` x SelectiveNet's objective + (1 - `selective_share`) x the aux head's cross-entropy; in phase
    `crc` it is `risk.share` x the conformal risk + (1 - `risk.share`) x the loss of phase `ce`.
    """
    losses_N = cross_entropy(
        outputs.logits_N2, labels_N, positive_weight=positive_weight, label_smoothing=label_smoothing
    )
    aux = cross_entropy(
        outputs.aux_N2, labels_N, positive_weight=positive_weight, label_smoothing=label_smoothing
    ).mean()
    if loss != "selective":
        right_N = (outputs.logits_N2.detach().argmax(dim=1) == labels_N).to(outputs.gate_N.dtype)
        gate = functional.binary_cross_entropy_with_logits(outputs.gate_N, right_N)
        plain = losses_N.mean() + aux + 0.1 * gate
        if loss == "ce":
            return plain
        return risk.share * conformal_risk_loss(outputs.logits_N2, labels_N, risk) + (1 - risk.share) * plain
    selective = selective_loss(
        losses_N, outputs.gate_N, target_coverage=target_coverage, coverage_penalty=coverage_penalty
    )
    return selective_share * selective + (1 - selective_share) * aux
