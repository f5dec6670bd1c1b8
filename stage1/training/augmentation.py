"""The training-time changes of a batch, as the configuration asks for them.

Shapes: B images in a batch, H W pixels.
"""

import torch
from torch import Tensor

from stage1.data.augment import Change, apply_changes, draw_changes
from stage1.training.config import AugmentConfig


def draw_augmentation(
    count: int, size: tuple[int, int], generator: torch.Generator, config: AugmentConfig
) -> list[Change]:
    """Draw what is done to each of `count` images of `size` (H, W)."""
    return draw_changes(count, size, generator, flip=config.flip, min_scale=config.min_scale, colour=config.colour)


def augment(images_BHW3: Tensor, changes: list[Change]) -> Tensor:
    """Return changed uint8 images in the same layout, for `Normalise`."""
    return apply_changes(images_BHW3.permute(0, 3, 1, 2).contiguous(), changes).permute(0, 2, 3, 1)
