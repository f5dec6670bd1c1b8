"""What masked autoencoding and adapters ask of a backbone that is a transformer over patches.

Shapes: B images, C channels, H W pixels, V visible patches.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class PatchTransformer(Protocol):
    """A transformer over patches; every one is also an `nn.Module` and a `Backbone`."""

    patch_size: int
    grid: tuple[int, int]
    num_features: int
    block_names: Sequence[str]
    norm_names: Sequence[str]
    linear_targets: Sequence[str]
    attention_targets: Sequence[str]

    def encode_visible(self, x_BCHW: Tensor, ids_BV: Tensor) -> Tensor:
        """Return the tokens [B, V, num_features] of the patches with these row-major ids, encoded alone."""
