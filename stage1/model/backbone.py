"""Backbones behind one small interface: images in, a feature map and pooled features out.

Shapes: B batch, C channels, H W pixels, h w feature cells.
"""

from typing import Protocol

from torch import Tensor

from stage1.model.config import BackboneConfig
from stage1.model.convnet import ConvNet

# How images are normalised before any backbone sees them, as statistics of pixels in [0, 1]; ImageNet's.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Backbone(Protocol):
    """What heads and pre-training ask of a backbone; every one is also an `nn.Module`.

    Attributes:
        num_features: Channels of the feature map.
        stride: Pixels a cell of the feature map, at the image size that the backbone was built for.
    """

    num_features: int
    stride: int

    @property
    def num_pooled(self) -> int:
        """Length of what `pool` returns."""

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map [B, num_features, h, w] of images normalised by MEAN and STD."""

    def pool(self, features_BChw: Tensor) -> Tensor:
        """Return one vector an image, [B, num_pooled]."""


def build_backbone(config: BackboneConfig, image_size: int) -> Backbone:
    """Build the backbone for square images of `image_size` pixels, with the weights that the config names.

    Raises:
        BadConfig: timm does not know the name, or that network cannot take images of this size.
        BadInput: The weights cannot be had, or are another network's.
    """
    if config.kind == "convnet":
        return ConvNet(config.widths)
    from stage1.model.pretrained import TimmBackbone

    return TimmBackbone(config.name, image_size, config.weights)
