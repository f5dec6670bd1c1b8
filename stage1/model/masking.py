"""Which patches of each image are hidden, and what comes of filling them in.

Shapes: N images, P patches, M hidden, V visible, H W pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Reconstruction(NamedTuple):
    """Images with their hidden patches filled in, and which pixels those were (boolean)."""

    pixels_NCHW: Tensor
    hidden_N1HW: Tensor


class Hidden(NamedTuple):
    """Row-major ids of the hidden and the visible patches of each image."""

    hidden_NM: Tensor
    visible_NV: Tensor


def draw_hidden(num_images: int, num_patches: int, mask_ratio: float, generator: torch.Generator) -> Hidden:
    """Return row-major ids of the hidden [N, M] and the visible [N, V] patches, drawn for each image on its own.

    Every image has the same number of hidden patches, never none and never all of them.
    """
    num_hidden = min(max(round(mask_ratio * num_patches), 1), num_patches - 1)
    order_NP = torch.rand(num_images, num_patches, generator=generator).argsort(dim=1, stable=True)
    return Hidden(order_NP[:, :num_hidden], order_NP[:, num_hidden:])


def as_pixels(hidden_NP: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Spread a boolean per patch over the patch's pixels, [N, 1, rows * patch_size, columns * patch_size]."""
    cells = hidden_NP.view(len(hidden_NP), 1, *grid)
    return cells.repeat_interleave(patch_size, 2).repeat_interleave(patch_size, 3)
