"""Masked image modelling for any backbone that gives a feature map.

SimMIM (Xie et al., CVPR 2022, arXiv 2111.09886): hide patches behind a learned colour, run the whole image, predict the
pixels of every hidden patch from the feature map, L1 on hidden pixels only. A convolution cannot run on visible patches
alone, so this is the masked objective for convolutional backbones; it is not the masked autoencoder of He et al., which
patch transformers get (`masked_autoencoder`).

Shapes: N images, H W pixels, C channels, h w feature cells.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stage1.model.backbone import Backbone
from stage1.model.masking import Hidden, Reconstruction, as_pixels, draw_hidden


class FilledIn(NamedTuple):
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

    def forward(self, x_NCHW: Tensor, generator: torch.Generator) -> FilledIn:
        """Hide `mask_ratio` of the patches of each image (drawn from `generator`) and predict them."""
        return self.predict(x_NCHW, self.draw(len(x_NCHW), generator, (x_NCHW.shape[2], x_NCHW.shape[3])))

    def draw(self, count: int, generator: torch.Generator, size: tuple[int, int]) -> Hidden:
        """Draw which patches of `count` images of `size` (H, W) are hidden."""
        rows, columns = self._grid(*size)
        return draw_hidden(count, rows * columns, self.mask_ratio, generator)

    def predict(self, x_NCHW: Tensor, drawn: Hidden) -> FilledIn:
        """Predict the patches that were drawn; the loss is the mean of the images' own."""
        hidden = self._pixels(drawn.hidden_NM, x_NCHW)
        seen = torch.where(hidden, self.mask_colour.to(x_NCHW.dtype), x_NCHW)
        pixels = self.decoder(cast(Backbone, self.backbone).forward_map(seen))
        if pixels.shape[-2:] != x_NCHW.shape[-2:]:
            pixels = functional.interpolate(pixels, x_NCHW.shape[-2:], mode="bilinear", align_corners=False)
        error_N = ((pixels - x_NCHW).abs() * hidden).sum((1, 2, 3))
        losses_N = error_N / (hidden.sum((1, 2, 3)).clamp(min=1) * x_NCHW.shape[1])
        return FilledIn(losses_N.mean(), pixels, hidden)

    def reconstruct(self, x_NCHW: Tensor, generator: torch.Generator) -> Reconstruction:
        """Fill hidden patches in."""
        _, pixels, hidden = self(x_NCHW, generator)
        return Reconstruction(torch.where(hidden, pixels, x_NCHW), hidden)

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.patch_size), -(-width // self.patch_size)

    def _pixels(self, hidden_NM: Tensor, x_NCHW: Tensor) -> Tensor:
        """The hidden patches of each image as a boolean pixel mask; the last row and column may be cut off."""
        count, _, height, width = x_NCHW.shape
        grid = self._grid(height, width)
        hidden_NP = torch.zeros(count, grid[0] * grid[1], dtype=torch.bool).scatter_(1, hidden_NM, True)
        return as_pixels(hidden_NP, grid, self.patch_size)[:, :, :height, :width].to(x_NCHW.device)
