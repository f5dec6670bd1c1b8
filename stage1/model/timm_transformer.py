"""timm's vision transformers: the plain one, and EVA with rotary positions, which its DINOv3 models are.

Shapes as in `token_encoder`.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from stage1.model.own_statistics import OwnStatistics
from stage1.model.token_encoder import TokenEncoder, add_places


class TimmTransformer(TokenEncoder):
    """A VisionTransformer or Eva of timm, without its head; arguments as in `TokenEncoder`."""

    def __init__(
        self, trunk: nn.Module, statistics: OwnStatistics, image_size: int, pooling: str, architecture: dict[str, Any]
    ) -> None:
        vit = cast(Any, trunk)
        self.num_prefix = vit.num_prefix_tokens
        self.has_class_token = vit.cls_token is not None
        vit.attn_pool = None
        if isinstance(vit.norm, nn.Identity):  # built for a mean before the norm: the norm is moved to the tokens
            vit.norm, vit.fc_norm = vit.fc_norm, vit.norm
        for block in vit.blocks:
            if getattr(block.attn, "q_bias", None) is not None:  # else the layer's weight is read past the layer
                block.attn.qkv_bias_separate = True
        super().__init__(trunk, statistics, image_size, pooling, architecture)

    def _blocks_name(self) -> str:
        return "blocks"

    def _patch_conv(self) -> nn.Conv2d:
        return cast(nn.Conv2d, cast(Any, self.trunk).patch_embed.proj)

    def _begin(self, patches_BVF: Tensor, ids_BV: Tensor | None) -> Tensor:
        vit = cast(Any, self.trunk)
        patches_BVF = vit.patch_embed.norm(patches_BVF)
        prefix = [token for token in (vit.cls_token, getattr(vit, "reg_token", None)) if token is not None]
        prefix_1SF = torch.cat(prefix, dim=1) if prefix else None
        if vit.pos_embed is not None:
            num_placed = 0 if vit.no_embed_class else self.num_prefix
            patches_BVF = add_places(patches_BVF, vit.pos_embed[:, num_placed:], ids_BV)
            if prefix_1SF is not None and num_placed:
                prefix_1SF = prefix_1SF + vit.pos_embed[:, :num_placed]
        x_BTF = patches_BVF
        if prefix_1SF is not None:
            x_BTF = torch.cat([prefix_1SF.expand(patches_BVF.shape[0], -1, -1), patches_BVF], dim=1)
        return cast(Tensor, vit.norm_pre(vit.pos_drop(x_BTF)))

    def _positions(self, ids_BV: Tensor | None) -> Sequence[Any]:
        vit = cast(Any, self.trunk)
        depth = len(vit.blocks)
        if getattr(vit, "rope", None) is None:
            return [None] * depth
        table = vit.rope.get_embed(shape=list(self.grid))
        if getattr(vit, "rope_mixed", False):  # learned for every block and head: [depth, heads, P, D]
            return list(table if ids_BV is None else table[:, :, ids_BV].transpose(1, 2))
        return [table if ids_BV is None else table[ids_BV].unsqueeze(1)] * depth

    def _run_block(self, block: nn.Module, x_BTF: Tensor, position: Any) -> Tensor:
        return cast(Tensor, block(x_BTF) if position is None else block(x_BTF, rope=position))

    def _finish(self, x_BTF: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, self.trunk).norm(x_BTF))
