"""The training-time changes of a batch, as the configuration asks for them.

Shapes: B images in a batch, H W pixels.
"""

import torch
from torch import Tensor

from stage1.data.augment import mirror_and_crop, shift_colours
from stage1.training.config import AugmentConfig


def augment(images_BHW3: Tensor, generator: torch.Generator, config: AugmentConfig) -> Tensor:
    """Return changed uint8 images as float pixels 0..255 in the same layout, for `Normalise`; not clipped."""
    pixels_B3HW = images_BHW3.permute(0, 3, 1, 2).contiguous().float()
    pixels_B3HW = mirror_and_crop(pixels_B3HW, generator, flip=config.flip, min_scale=config.min_scale)
    if config.colour:
        pixels_B3HW = shift_colours(pixels_B3HW, generator, strength=config.colour)
    return pixels_B3HW.permute(0, 2, 3, 1)
