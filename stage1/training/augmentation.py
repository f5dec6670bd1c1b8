"""The training-time changes of a batch, as the configuration asks for them.

Shapes: B images in a batch, H W pixels.
"""

import torch
from torch import Tensor

from stage1.data.augment import apply_changes, draw_changes
from stage1.training.config import AugmentConfig


def augment(images_BHW3: Tensor, generator: torch.Generator, config: AugmentConfig) -> Tensor:
    """Return changed uint8 images in the same layout, for `Normalise`."""
    count, height, width, _ = images_BHW3.shape
    changes = draw_changes(
        count, (height, width), generator, flip=config.flip, min_scale=config.min_scale, colour=config.colour
    )
    return apply_changes(images_BHW3.permute(0, 3, 1, 2).contiguous(), changes).permute(0, 2, 3, 1)
