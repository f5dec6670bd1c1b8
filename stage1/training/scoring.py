"""Run a model over images and collect what its heads say.

Shapes: N images, 2 classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from stage1 import events
from stage1.data.loading import ImageBatches
from stage1.model.classifier import SelectiveClassifier


@dataclass(frozen=True)
class Scores:
    """Logits [N, 2] and gate logits [N], float32."""

    logits_N2: NDArray[np.float32]
    gate_N: NDArray[np.float32]

    @property
    def margin_N(self) -> NDArray[np.float64]:
        """z1 - z0 in float64: positive means road work; its size is the softmax response before saturation."""
        logits_N2 = self.logits_N2.astype(np.float64)
        margin_N: NDArray[np.float64] = logits_N2[:, 1] - logits_N2[:, 0]
        return margin_N


@torch.inference_mode()
def score(
    model: SelectiveClassifier,
    images: ImageBatches,
    batch_size: int,
    *,
    report: bool = False,
    after_batch: Callable[[], None] = lambda: None,
) -> Scores:
    """Score every image, in order, in evaluation mode.

    Args:
        report: Send progress events.
        after_batch: Called between batches; what it raises ends the scoring.
    """
    model.eval()
    device = next(model.parameters()).device
    logits_N2 = np.empty((len(images), 2), np.float32)
    gate_N = np.empty(len(images), np.float32)
    batches = [np.arange(start, min(start + batch_size, len(images))) for start in range(0, len(images), batch_size)]
    for rows, images_BHW3 in zip(batches, images.batches(batches), strict=True):
        outputs = model(model.normalise(torch.from_numpy(images_BHW3).to(device)))
        logits_N2[rows] = outputs.logits_N2.float().cpu().numpy()
        gate_N[rows] = outputs.gate_N.float().cpu().numpy()
        if report:
            events.progress(int(rows[-1]) + 1, len(images), "image")
        after_batch()
    return Scores(logits_N2, gate_N)
