"""A small residual convolutional network for laptops: what the demo trains from scratch.

GroupNorm instead of BatchNorm, so that one image and a batch give the same answer and accumulation changes nothing.

Shapes: B batch, C channels, H W pixels, h w feature cells (H / stride).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


class _Refine(nn.Module):
    """One residual convolution at constant resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), _norm(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.relu(x_BCHW + self.branch(x_BCHW))


def _stage(channels_in: int, channels_out: int, *, refine: bool) -> nn.Sequential:
    """Halve the resolution, then refine."""
    halve = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
    layers = [halve, _norm(channels_out), nn.ReLU()]
    return nn.Sequential(*layers, _Refine(channels_out)) if refine else nn.Sequential(*layers)


class ConvNet(nn.Module):
    """Stages of `widths` channels (multiples of 8), each at half the resolution of the one before it.

    The first stage, whose pixels cost most, is a single convolution.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = pairwise((3, *widths))
        self.stages = nn.Sequential(*(_stage(a, b, refine=number > 0) for number, (a, b) in enumerate(pairs)))
        self.num_features = widths[-1]
        self.num_pooled = 2 * self.num_features
        self.architecture: dict[str, object] = {}  # widths say it all
        self.stride = 2 ** len(widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map [B, C, h, w] of normalised images."""
        features: Tensor = self.stages(x_BCHW)
        return features

    def forward_pooled(self, x_BCHW: Tensor) -> Tensor:
        """Mean and maximum over the cells: a small object far away must not drown in the mean. [B, 2C]."""
        features_BChw = self.forward_map(x_BCHW)
        return torch.cat([features_BChw.mean((2, 3)), features_BChw.amax((2, 3))], dim=1)
