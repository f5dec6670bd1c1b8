"""Images as rows of patches and back, and a patch's pixels brought to mean 0 and deviation 1.

The layout is that of the masked autoencoder (He et al., CVPR 2022, arXiv 2111.06377): patches row by row, in a patch
the pixels row by row, in a pixel the channels.

Shapes: B images, C channels, H W pixels, P patches, D = patch_size^2 C values a patch.
"""

from typing import NamedTuple

from torch import Tensor

_EPSILON = 1e-6


class Standardised(NamedTuple):
    """Patches with mean 0 and deviation 1, and what was taken out of each."""

    patches_BPD: Tensor
    mean_BP1: Tensor
    deviation_BP1: Tensor


def patchify(x_BCHW: Tensor, patch_size: int) -> Tensor:
    """Cut images, whose sides are multiples of `patch_size`, into patches [B, P, D]."""
    count, channels, height, width = x_BCHW.shape
    rows, columns = height // patch_size, width // patch_size
    cells = x_BCHW.reshape(count, channels, rows, patch_size, columns, patch_size)
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * columns, patch_size**2 * channels)


def unpatchify(patches_BPD: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Put patches back into images [B, C, rows * patch_size, columns * patch_size]."""
    count, _, values = patches_BPD.shape
    channels = values // patch_size**2
    cells = patches_BPD.reshape(count, *grid, patch_size, patch_size, channels)
    return cells.permute(0, 5, 1, 3, 2, 4).reshape(count, channels, grid[0] * patch_size, grid[1] * patch_size)


def standardise(patches_BPD: Tensor) -> Standardised:
    """Bring every patch to mean 0 and deviation 1 (n - 1 in the variance, 1e-6 added to it), as in the paper's code."""
    mean_BP1 = patches_BPD.mean(dim=2, keepdim=True)
    deviation_BP1 = (patches_BPD.var(dim=2, keepdim=True) + _EPSILON).sqrt()
    return Standardised((patches_BPD - mean_BP1) / deviation_BP1, mean_BP1, deviation_BP1)
