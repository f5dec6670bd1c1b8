"""Backbones behind one small interface: images in, a feature map or pooled features out.

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
        num_pooled: Length of what `forward_pooled` returns.
        architecture: What `BackboneConfig.architecture` must be to build the network again; empty where the rest of
            the configuration does.
    """

    num_features: int
    stride: int
    num_pooled: int
    architecture: dict[str, object]

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map [B, num_features, h, w] of images normalised by MEAN and STD."""

    def forward_pooled(self, x_BCHW: Tensor) -> Tensor:
        """Return one vector an image, [B, num_pooled]."""


def build_backbone(config: BackboneConfig, image_size: int) -> Backbone:
    """Build the backbone for square images of `image_size` pixels, with the weights that the config names.

    Only the library that this backbone is of is imported.

    Raises:
        BadConfig: The library does not know the name, the network cannot take images of this size or be pooled so, or
            the weights cannot be had, are damaged or are another network's.
    """
    if config.kind == "timm":
        from stage1.model.timm_source import build_timm

        return build_timm(config, image_size)
    if config.kind == "transformers":
        from stage1.model.transformers_source import build_transformers

        return build_transformers(config, image_size)
    return ConvNet(config.widths)
