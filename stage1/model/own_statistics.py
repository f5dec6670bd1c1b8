"""Images brought from this project's normalisation to the one that a network was trained with."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from stage1.model.backbone import MEAN, STD


class OwnStatistics(nn.Module):
    """From MEAN and STD to a network's own mean and deviation, which many ViTs have at 0.5 and 0.5.

    They are stored with the weights. Where both are the same, images pass as they are.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        own_mean, own_std = _colour(mean), _colour(std)
        self.register_buffer("scale", _colour(STD) / own_std)
        self.register_buffer("shift", (_colour(MEAN) - own_mean) / own_std)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return (pixel - mean) / std, [B, C, H, W]."""
        return x_BCHW * cast(Tensor, self.scale) + cast(Tensor, self.shift)


def _colour(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
