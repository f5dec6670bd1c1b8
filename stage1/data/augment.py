"""Random changes of a batch of images, drawn for every image on its own, reproducible from a generator.

Images are float pixels with 0 for black, on any scale; they are changed before they are normalised, because a factor on
normalised values is no change of brightness.

Shapes: N images, 3 channels, H W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional

# Rec. 601 luma, as in ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


def mirror_and_crop(images_N3HW: Tensor, generator: torch.Generator, *, flip: float, min_scale: float) -> Tensor:
    """Mirror each image with probability `flip` and cut a window of `min_scale`..1 of its sides, resampled to H x W.

    With `min_scale` 1 nothing is resampled: pixels are the same or exactly mirrored.
    """
    count, _, height, width = images_N3HW.shape
    mirrored = torch.rand(count, generator=generator) < flip
    scale = min_scale + (1 - min_scale) * torch.rand(count, generator=generator)
    centre_2N = (1 - scale) * (2 * torch.rand(2, count, generator=generator) - 1)
    if min_scale == 1:
        chosen = mirrored.to(images_N3HW.device).view(count, 1, 1, 1)
        return torch.where(chosen, images_N3HW.flip(3), images_N3HW)
    x_NW = centre_2N[0, :, None] + torch.where(mirrored, -scale, scale)[:, None] * _pixel_centres(width)
    y_NH = centre_2N[1, :, None] + scale[:, None] * _pixel_centres(height)
    grid = torch.empty(count, height, width, 2)
    grid[..., 0], grid[..., 1] = x_NW[:, None, :], y_NH[:, :, None]
    # Windows lie inside of the image; "border" is for the half pixel between the outermost centre and the edge.
    cut: Tensor = functional.grid_sample(
        images_N3HW, grid.to(images_N3HW.device), padding_mode="border", align_corners=False
    )
    return cut


def shift_colours(images_N3HW: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """Change brightness, contrast and saturation of each image by factors in 1 ± `strength`; values are not clipped.

    All three are linear in a pixel, so they are one 3 x 3 matrix and one offset an image:
    brightness * (mean + contrast * (grey + saturation * (pixel - grey) - mean)), mean being that of the image's grey.
    """
    count = len(images_N3HW)
    factors = 1 + strength * (2 * torch.rand(3, count, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(images_N3HW.device)
    luma = torch.tensor(_LUMA, device=images_N3HW.device)
    pixels_N3P = images_N3HW.flatten(2)
    mean_N11 = (pixels_N3P.mean(2) @ luma).view(count, 1, 1)
    matrix_N33 = saturation * torch.eye(3, device=luma.device) + (1 - saturation) * luma
    offset_N31 = (brightness * (1 - contrast) * mean_N11).expand(count, 3, 1)
    return torch.baddbmm(offset_N31, brightness * contrast * matrix_N33, pixels_N3P).view_as(images_N3HW)


def _pixel_centres(size: int) -> Tensor:
    """Centres of `size` pixels on [-1, 1]."""
    return (2 * torch.arange(size) + 1) / size - 1
