"""Every kind of backbone in miniature: the libraries' real code at a fraction of the size, images of 32 pixels.

LayerScale starts at 1e-5 in DINOv3, where nothing that attention does could be seen; here no weight is so small.
"""

from typing import Any, cast

import torch

from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig

IMAGE, PATCH, WIDTH, DEPTH = 32, 8, 32, 2
GRID = IMAGE // PATCH

_TIMM: dict[str, Any] = {"patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": 2, "mlp_ratio": 2}
_TRANSFORMERS: dict[str, Any] = {
    **{"patch_size": PATCH, "hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": 2},
    "image_size": IMAGE,
}


def _timm(name: str, **changed: object) -> dict[str, Any]:
    return {"architecture": name, "model_args": {**_TIMM, **changed}}


def _transformers(model_type: str, **changed: object) -> dict[str, Any]:
    return {"model_type": model_type, **_TRANSFORMERS, **changed}


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "timm vit": _timm("vit_small_patch16_224"),
    "timm vit, registers": _timm("vit_small_patch16_224", reg_tokens=4, no_embed_class=True, pre_norm=True),
    "timm vit, no class token": _timm("vit_small_patch16_224", class_token=False, global_pool="avg"),
    "timm dinov3": _timm("vit_small_patch16_dinov3"),
    "timm dinov3, biases": _timm("vit_small_patch16_dinov3_qkvb"),
    "timm dinov3, gated": _timm("vit_small_plus_patch16_dinov3"),
    "timm rope by head": _timm("vit_small_patch16_rope_mixed_ape_224"),
    "transformers dinov3": _transformers("dinov3_vit", intermediate_size=64, num_register_tokens=4),
    "transformers dinov3, gated": _transformers("dinov3_vit", intermediate_size=64, use_gated_mlp=True),
    "transformers dinov2": _transformers("dinov2", mlp_ratio=2),
    "transformers dinov2, registers": _transformers("dinov2_with_registers", mlp_ratio=2),
    "transformers vit": _transformers("vit", intermediate_size=64),
}
# One of each of what a user chooses between.
KINDS = ("timm vit", "timm dinov3", "transformers dinov3", "transformers dinov2", "transformers vit")


def config(name: str, **fields: Any) -> BackboneConfig:
    """The configuration of one of ARCHITECTURES, at random weights."""
    return BackboneConfig(kind=name.split()[0], architecture=ARCHITECTURES[name], **fields)


def build(name: str, image_size: int = IMAGE, **fields: Any) -> Any:
    """Build one of ARCHITECTURES in evaluation mode, every weight of an order that shows."""
    torch.manual_seed(0)
    backbone: Any = build_backbone(config(name, **fields), image_size)
    enlarge(backbone)
    return backbone.eval()


def enlarge(module: torch.nn.Module) -> None:
    """Redraw what starts as a constant or next to nothing: LayerScale, biases, norms, positions, special tokens."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.rpartition(".")[2] in ("gamma_1", "gamma_2", "lambda1"):
                parameter.fill_(1.0)
            elif parameter.ndim == 1 or "token" in name or (parameter.numel() and parameter.std() < 1e-3):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def images(count: int = 3, size: int = IMAGE) -> torch.Tensor:
    """Normalised images [count, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def library_tokens(backbone: Any, x_BCHW: torch.Tensor) -> torch.Tensor:
    """What the library's own forward gives: all tokens, normed, [B, T, F]."""
    x_BCHW = backbone.statistics(x_BCHW)
    if hasattr(backbone.trunk, "forward_features"):
        return cast(torch.Tensor, backbone.trunk.forward_features(x_BCHW))
    return cast(torch.Tensor, backbone.trunk(x_BCHW).last_hidden_state)
