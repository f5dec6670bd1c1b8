"""Any timm network that gives a feature map: convolutions, and transformers of other shapes than `timm_transformer`.

Shapes: B images, C channels, H W pixels, h w feature cells.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from stage1.errors import BadConfig
from stage1.model.own_statistics import OwnStatistics


class TimmNetwork(nn.Module):
    """The feature map of a timm model without its classifier, pooled by its mean.

    Args:
        trunk: timm's network.
        statistics: What it takes images in.
        image_size: Side of the square images, in pixels.
        architecture: See `Backbone`.
    """

    def __init__(
        self, trunk: nn.Module, statistics: OwnStatistics, image_size: int, architecture: dict[str, Any]
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.statistics = statistics
        self.architecture: dict[str, object] = architecture
        cells = self._probe(image_size)
        self.num_features = self.num_pooled = cells.shape[1]
        self.stride = image_size // cells.shape[-1]

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map [B, C, h, w] of normalised images."""
        return cast(Tensor, self(x_BCHW))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """As `forward_map`; a module is compiled by its call, and the trunk is not called but asked for its map."""
        features: list[Tensor] = cast(Any, self.trunk).forward_intermediates(
            self.statistics(x_BCHW), indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return features[-1]

    def forward_pooled(self, x_BCHW: Tensor) -> Tensor:
        """Mean over the cells, [B, C]."""
        return self.forward_map(x_BCHW).mean((2, 3))

    def _probe(self, image_size: int) -> Tensor:
        """Run one empty image: only the map itself says how many channels and cells it has."""
        try:
            with torch.no_grad():
                return self.eval().forward_map(torch.zeros(1, 3, image_size, image_size))
        except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
            words = " ".join(str(error).split())[:300]
            raise BadConfig(
                f"backbone.name: this {type(self.trunk).__name__} gives no feature map of images of {image_size} x "
                f"{image_size} pixels: {type(error).__name__}: {words}. Choose another preprocessing.image_size (a "
                "multiple of the patch size) or another model."
            ) from error
