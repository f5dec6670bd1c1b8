"""What an epoch reached on val_select: how well its confidence ranks mistakes, and whether its gate says anything.

Shapes: N images.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.metrics import augrc, auroc
from stage1.training.scoring import Scores

_SAME = 0.05  # standard deviation of gate logits below which they tell images apart by less than rounding and noise


def judge(scores: Scores, labels_N: NDArray[np.int8]) -> dict[str, Any]:
    """Return AUGRC of softmax response and gate, accuracy, AUROC, mean acceptance, and whether the gate collapsed.

    A gate has collapsed when it gives (almost) every image the same logit; SelectiveNet's objective has such a minimum
    (Feng et al., ICLR 2023, arXiv 2206.09034).

    Args:
        labels_N: 0 or 1; where all are the same there is no AUROC, and it is None.
    """
    margin_N = scores.margin_N
    gate_N = scores.gate_N.astype(np.float64)
    wrong_N = (margin_N >= 0) != (labels_N == 1)
    return {
        "val_augrc": float(augrc(np.abs(margin_N), wrong_N)),
        "val_accuracy": float(1 - wrong_N.mean()),
        "val_auroc": ranking if math.isfinite(ranking := float(auroc(margin_N, labels_N))) else None,
        "val_gate_augrc": float(augrc(gate_N, wrong_N)),
        "val_accepted": float((0.5 * (1 + np.tanh(gate_N / 2))).mean()),
        "gate_collapsed": bool(gate_N.std() < _SAME),
    }
