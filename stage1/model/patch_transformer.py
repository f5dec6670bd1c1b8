"""What masked autoencoding and adapters ask of a backbone that is a transformer over patches.

Shapes: B images, C channels, H W pixels, V visible patches, S prefix tokens.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class PatchTransformer(Protocol):
    """A transformer over patches; every one is also an `nn.Module` and a `Backbone`.

    Attributes:
        patch_size: Side of a patch, in pixels.
        grid: Rows and columns of patches in an image.
        num_features: Channels of a token.
        block_names: Full names of the blocks, in order of depth.
        norm_names: Full names of all norms, in the blocks and around them.
        linear_targets: Names within a block of its linear layers.
        attention_targets: Names within a block of the layers that make query and value: two, or one fused layer.
    """

    patch_size: int
    grid: tuple[int, int]
    num_features: int
    block_names: Sequence[str]
    norm_names: Sequence[str]
    linear_targets: Sequence[str]
    attention_targets: Sequence[str]

    def encode_visible(self, x_BCHW: Tensor, ids_BV: Tensor) -> Tensor:
        """Return prefix tokens and then those of the patches with these row-major ids, encoded alone.

        [B, S + V, num_features], S prefix tokens (class, registers) that may be none.
        """
