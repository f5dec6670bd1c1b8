"""Masked image modelling for any backbone that gives a feature map.

SimMIM (Xie et al., CVPR 2022, arXiv 2111.09886): hide patches behind a learned colour, run the whole image, predict the
pixels of every hidden patch from the feature map, L1 on hidden pixels only. A convolution cannot run on visible patches
alone, so this is the masked objective for convolutional backbones; it is not the masked autoencoder of He et al.

Shapes: N images, H W pixels, C channels, h w feature cells, g patches a side.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stage1.model.backbone import Backbone


class Reconstruction(NamedTuple):
    """One pass: the loss, what was predicted and which pixels were hidden."""

    loss: Tensor
    pixels_NCHW: Tensor
    hidden_N1HW: Tensor


class MaskedModel(nn.Module):
    """A backbone, the colour that hides patches, and a linear pixel decoder.

    Args:
        backbone: What is adapted.
        patch_size: Side of a hidden patch, in pixels; smaller than the image.
        mask_ratio: Share of the patches that are hidden, in (0, 1).
    """

    def __init__(self, backbone: Backbone, patch_size: int, mask_ratio: float) -> None:
        super().__init__()
        self.backbone = cast(nn.Module, backbone)
        self.patch_size = patch_size
        self.mask_ratio = mask_ratio
        self.mask_colour = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(backbone.num_features, 3 * backbone.stride**2, 1), nn.PixelShuffle(backbone.stride)
        )

    def forward(self, x_NCHW: Tensor, generator: torch.Generator) -> Reconstruction:
        """Hide `mask_ratio` of the patches of each image (drawn from `generator`) and predict them."""
        hidden = self._hide(x_NCHW, generator)
        seen = torch.where(hidden, self.mask_colour.to(x_NCHW.dtype), x_NCHW)
        pixels = self.decoder(cast(Backbone, self.backbone).forward_map(seen))
        if pixels.shape[-2:] != x_NCHW.shape[-2:]:
            pixels = functional.interpolate(pixels, x_NCHW.shape[-2:], mode="bilinear", align_corners=False)
        error = (pixels - x_NCHW).abs() * hidden
        loss = error.sum() / (hidden.sum().clamp(min=1) * x_NCHW.shape[1])
        return Reconstruction(loss, pixels, hidden)

    def _hide(self, x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
        """Exactly the same number of hidden patches in every image, never none or all, as a boolean pixel mask."""
        count, _, height, width = x_NCHW.shape
        rows, columns = -(-height // self.patch_size), -(-width // self.patch_size)
        noise = torch.rand(count, rows * columns, generator=generator)
        num_hidden = min(max(round(self.mask_ratio * rows * columns), 1), rows * columns - 1)
        hidden = torch.zeros(count, rows * columns, dtype=torch.bool)
        hidden.scatter_(1, noise.argsort(dim=1)[:, :num_hidden], True)
        grid = hidden.view(count, 1, rows, columns)
        pixels = grid.repeat_interleave(self.patch_size, 2).repeat_interleave(self.patch_size, 3)
        return pixels[:, :, :height, :width].to(x_NCHW.device)
