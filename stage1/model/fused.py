"""A fused query-key-value layer as three layers, so that each of them can be adapted alone.

Query and value get adapters and the key none in ExPLoRA; on a fused layer one low-rank matrix would change all three.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

PARTS = ("query", "key", "value")


class SplitLinear(nn.Module):
    """Three linear layers that give what the fused layer gave: query, key and value, one after the other.

    Args:
        fused: A linear layer whose outputs are query, key and value in this order, equally wide.
    """

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        biases = (None,) * len(PARTS) if fused.bias is None else fused.bias.detach().chunk(len(PARTS))
        for name, weight, bias in zip(PARTS, fused.weight.detach().chunk(len(PARTS)), biases, strict=True):
            self.add_module(name, _linear(weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        """Return the three outputs beside each other, [..., 3 * width]."""
        return torch.cat([self.get_submodule(name)(x) for name in PARTS], dim=-1)

    def fuse(self) -> nn.Linear:
        """Return one linear layer again; the three must be plain ones by now."""
        layers = [cast(nn.Linear, self.get_submodule(name)) for name in PARTS]
        biases: list[Any] = [layer.bias for layer in layers]
        weight = torch.cat([layer.weight.detach() for layer in layers])
        return _linear(weight, None if biases[0] is None else torch.cat([bias.detach() for bias in biases]))


def is_fused(name: str, layer: nn.Module) -> bool:
    """Say whether this is timm's fused layer, by its name and shape."""
    return name.rpartition(".")[2] == "qkv" and isinstance(layer, nn.Linear) and layer.out_features % len(PARTS) == 0


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with copies of these weights; nothing is drawn."""
    num_out, num_in = weight.shape
    layer = nn.Linear(num_in, num_out, bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    return layer
