"""DINOv3, DINOv2 (with and without registers) and ViT of transformers.

DINOv3 has rotary positions, the others learned ones. DINOv3's random change of positions in training is left out, so
that a training step is as reproducible as its dropout.

Shapes as in `token_encoder`; D channels of an attention head.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from stage1.model.own_statistics import OwnStatistics
from stage1.model.token_encoder import TokenEncoder, add_places


class TransformersEncoder(TokenEncoder):
    """One of the library's vision transformers, without pooler and mask token; arguments as in `TokenEncoder`."""

    has_class_token = True

    def __init__(
        self, trunk: nn.Module, statistics: OwnStatistics, image_size: int, pooling: str, architecture: dict[str, Any]
    ) -> None:
        embeddings = cast(Any, trunk).embeddings
        embeddings.mask_token = None
        registers = getattr(embeddings, "register_tokens", None)
        self.num_prefix = 1 + (0 if registers is None else registers.shape[1])
        self._stack: str = next(name for name, module in trunk.named_modules() if isinstance(module, nn.ModuleList))
        super().__init__(trunk, statistics, image_size, pooling, architecture)
        if hasattr(trunk, "rope_embeddings"):
            cos, sin = trunk.eval().rope_embeddings(torch.zeros(1, 3, image_size, image_size))  # type: ignore[operator]
            self.register_buffer("cos_PD", cos, persistent=False)
            self.register_buffer("sin_PD", sin, persistent=False)

    def _blocks_name(self) -> str:
        return self._stack

    def _patch_conv(self) -> nn.Conv2d:
        embedding = cast(Any, self.trunk).embeddings.patch_embeddings
        return cast(nn.Conv2d, getattr(embedding, "projection", embedding))

    def _begin(self, patches_BVF: Tensor, ids_BV: Tensor | None) -> Tensor:
        embeddings = cast(Any, self.trunk).embeddings
        prefix_1SF = embeddings.cls_token
        places_1TF = getattr(embeddings, "position_embeddings", None)
        if places_1TF is not None:
            patches_BVF = add_places(patches_BVF, places_1TF[:, 1:], ids_BV)
            prefix_1SF = prefix_1SF + places_1TF[:, :1]
        if hasattr(embeddings, "register_tokens"):  # which may be none, and are a weight even then
            prefix_1SF = torch.cat([prefix_1SF, embeddings.register_tokens], dim=1)
        x_BTF = torch.cat([prefix_1SF.expand(patches_BVF.shape[0], -1, -1), patches_BVF], dim=1)
        return cast(Tensor, embeddings.dropout(x_BTF)) if places_1TF is not None else x_BTF

    def _positions(self, ids_BV: Tensor | None) -> Sequence[Any]:
        if not hasattr(self.trunk, "rope_embeddings"):
            return [None] * len(self._blocks())
        tables = [cast(Tensor, table) for table in (self.cos_PD, self.sin_PD)]
        if ids_BV is not None:
            tables = [table[ids_BV].unsqueeze(1) for table in tables]
        return [tuple(tables)] * len(self._blocks())

    def _run_block(self, block: nn.Module, x_BTF: Tensor, position: Any) -> Tensor:
        result = block(x_BTF) if position is None else block(x_BTF, position_embeddings=position)
        return cast(Tensor, result)

    def _finish(self, x_BTF: Tensor) -> Tensor:
        trunk = cast(Any, self.trunk)
        return cast(Tensor, (trunk.norm if hasattr(trunk, "norm") else trunk.layernorm)(x_BTF))
