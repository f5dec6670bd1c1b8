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
from stage1.training.processes import ALONE, Processes


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
    processes: Processes = ALONE,
) -> Scores:
    """Score every image, in order, in evaluation mode and float32.

    Args:
        batch_size: Images at a time.
        report: Send progress events.
        after_batch: Called between batches, equally often in every process; what it raises ends the scoring.
        processes: Share the images and all get all scores.
    """
    model.eval()
    device = next(model.parameters()).device
    scores_N3 = torch.zeros(len(images), 3)
    shares = np.array_split(np.arange(len(images)), processes.count)
    num_batches = -(-len(shares[0]) // batch_size)
    batches = [part for part in np.array_split(shares[processes.rank], num_batches) if len(part)] if num_batches else []
    for rows, images_BHW3 in zip(batches, images.batches(batches), strict=True):
        outputs = model(model.normalise(torch.from_numpy(images_BHW3).to(device)))
        scores_N3[rows] = torch.cat([outputs.logits_N2, outputs.gate_N.unsqueeze(1)], dim=1).float().cpu()
        if report:
            events.progress(int(rows[-1]) + 1, len(images), "image")
        after_batch()
    for _ in range(num_batches - len(batches)):
        after_batch()
    scores_N3 = processes.sum(scores_N3.to(device)).cpu()
    return Scores(scores_N3[:, :2].numpy(), scores_N3[:, 2].numpy())
