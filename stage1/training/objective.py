"""What a loop minimises: a loss of what a model says of a batch, said so that the batch can be cut anywhere.

Shapes: B images in a batch, b in a part of it, H W pixels.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Objective(Protocol):
    """A loss in two halves: what the model says of each image, and what a batch of that costs."""

    @property
    def whole_batch(self) -> bool:
        """Whether the loss is a statistic of the whole batch.

        Otherwise it is the mean of the images' own, and that of a batch is the mean over its parts.
        """
        ...

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Sequence[Any]:
        """Draw what is random about each of B images of `size` (H, W), augmentation and masks; one entry an image."""
        ...

    def forward(self, images_bHW3: Tensor, drawn: Sequence[Any]) -> tuple[Tensor, ...]:
        """Run the model on a part of a batch, on its device; float tensors, those of a whole-batch loss [b, ...]."""
        ...

    def loss(self, outputs: tuple[Tensor, ...], rows_b: NDArray[np.int64]) -> Tensor:
        """Return the loss of these rows, a scalar, from what `forward` gave."""
        ...
