"""A vision transformer of any library, run block by block on all patches of an image or on some of them.

Libraries differ in how a token sequence starts, what a block is told of positions, and what things are called: that is
what their subclasses say. Attention goes through torch's scaled_dot_product_attention in both libraries. Nothing here
casts: under `torch.autocast` (the training loop's, for bf16) matrix products run in half precision, norms do not.

Shapes: B images, C channels, H W pixels, h w rows and columns of patches, P = h w patches, V visible ones, S prefix
tokens (class token, registers), T = S + V tokens, F features.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stage1.errors import BadConfig
from stage1.model.own_statistics import OwnStatistics
from stage1.model.patches import patchify


class TokenEncoder(nn.Module, ABC):
    """A transformer over patches; a `Backbone` and a `PatchTransformer`.

    Args:
        trunk: The library's network, without a head.
        statistics: What it takes images in.
        image_size: Side of the square images, in pixels.
        pooling: '' or 'mean', 'cls' or 'cls_mean'.
        architecture: See `Backbone`.
    """

    num_prefix: int
    has_class_token: bool

    def __init__(
        self, trunk: nn.Module, statistics: OwnStatistics, image_size: int, pooling: str, architecture: dict[str, Any]
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.statistics = statistics
        self.architecture: dict[str, object] = architecture
        self.recompute_blocks = False
        conv = self._patch_conv()
        self.patch_size = self.stride = conv.kernel_size[0]
        self.num_features = conv.out_channels
        self.grid = (_cells(image_size, self.patch_size),) * 2
        self.pooling = pooling or "mean"
        if self.pooling != "mean" and not self.has_class_token:
            raise BadConfig(
                f"backbone.pooling: {pooling!r} needs a class token, which this network has not. Use 'mean'."
            )
        self.num_pooled = self.num_features * (2 if self.pooling == "cls_mean" else 1)
        self.block_names: Sequence[str] = [
            f"trunk.{self._blocks_name()}.{number}" for number in range(len(self._blocks()))
        ]
        self.norm_names: Sequence[str] = [f"trunk.{name}" for name, module in trunk.named_modules() if _is_norm(module)]
        first = self._blocks()[0].named_modules()
        self.linear_targets: Sequence[str] = tuple(name for name, module in first if isinstance(module, nn.Linear))
        names = ("attn.qkv", "attn.q_proj", "attn.v_proj", "attention.q_proj", "attention.v_proj")
        self.attention_targets: Sequence[str] = tuple(name for name in names if name in self.linear_targets)

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the normed tokens of the patches as a map [B, F, h, w]."""
        patches_BPF = self._encode(x_BCHW, None)[:, self.num_prefix :]
        return patches_BPF.transpose(1, 2).reshape(x_BCHW.shape[0], self.num_features, *self.grid)

    def forward_pooled(self, x_BCHW: Tensor) -> Tensor:
        """Return the class token, the mean of the patches' tokens, or the two after each other, [B, num_pooled]."""
        tokens_BTF = self._encode(x_BCHW, None)
        if self.pooling == "cls":
            return tokens_BTF[:, 0]
        mean_BF = tokens_BTF[:, self.num_prefix :].mean(1)
        return mean_BF if self.pooling == "mean" else torch.cat([tokens_BTF[:, 0], mean_BF], dim=1)

    def encode_visible(self, x_BCHW: Tensor, ids_BV: Tensor) -> Tensor:
        """Return prefix tokens and those of the patches with these row-major ids, [B, S + V, F].

        Each patch has its own position, learned or rotary; the patches that are left out are not embedded at all.
        """
        return self._encode(x_BCHW, ids_BV)

    def _encode(self, x_BCHW: Tensor, ids_BV: Tensor | None) -> Tensor:
        x_BTF = self._begin(self._embed(self.statistics(x_BCHW), ids_BV), ids_BV)
        for block, position in zip(self._blocks(), self._positions(ids_BV), strict=True):
            if self.recompute_blocks and self.training and torch.is_grad_enabled():
                x_BTF = checkpoint(self._run_block, block, x_BTF, position, use_reentrant=False)
            else:
                x_BTF = self._run_block(block, x_BTF, position)
        return self._finish(x_BTF)

    def _embed(self, x_BCHW: Tensor, ids_BV: Tensor | None) -> Tensor:
        """Embed all patches, or only those that are wanted: then a convolution is a matrix product."""
        conv = self._patch_conv()
        if ids_BV is None:
            return cast(Tensor, conv(x_BCHW)).flatten(2).transpose(1, 2)
        pixels_BPD = patchify(x_BCHW, self.patch_size)
        visible_BVD = pixels_BPD.gather(1, ids_BV.unsqueeze(2).expand(-1, -1, pixels_BPD.shape[2]))
        return nn.functional.linear(visible_BVD, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)

    def _blocks(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.trunk.get_submodule(self._blocks_name()))

    @abstractmethod
    def _blocks_name(self) -> str:
        """Where the blocks are in the trunk."""

    @abstractmethod
    def _patch_conv(self) -> nn.Conv2d:
        """The convolution that embeds patches."""

    @abstractmethod
    def _begin(self, patches_BVF: Tensor, ids_BV: Tensor | None) -> Tensor:
        """Add learned positions and prefix tokens; [B, T, F]."""

    @abstractmethod
    def _positions(self, ids_BV: Tensor | None) -> Sequence[Any]:
        """What each block is told of positions."""

    @abstractmethod
    def _run_block(self, block: nn.Module, x_BTF: Tensor, position: Any) -> Tensor:
        """One block."""

    @abstractmethod
    def _finish(self, x_BTF: Tensor) -> Tensor:
        """The last norm."""


def add_places(patches_BVF: Tensor, places_1PF: Tensor, ids_BV: Tensor | None) -> Tensor:
    """Add to every patch the learned position of its place."""
    return patches_BVF + (places_1PF if ids_BV is None else places_1PF[0][ids_BV])


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.LayerNorm) or type(module).__name__.lower().endswith(("layernorm", "rmsnorm"))


def _cells(image_size: int, patch_size: int) -> int:
    if image_size < patch_size or image_size % patch_size:
        below = max(image_size // patch_size, 1) * patch_size
        raise BadConfig(
            f"preprocessing.image_size: {image_size} pixels are no whole number of this backbone's patches of "
            f"{patch_size} pixels. Use {below} or {below + patch_size}."
        )
    return image_size // patch_size
