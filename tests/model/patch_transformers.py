"""Transformers over patches for tests of what is done to them: fused and separate layers, learned and rotary places."""

from typing import Any

import torch

from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from tests.model.small_backbones import ARCHITECTURES, IMAGE, PATCH, WIDTH, enlarge

NETWORKS = {"fused": "timm vit", "fused, rotary": "timm dinov3, biases", "separate": "transformers dinov3"}

__all__ = ["IMAGE", "NETWORKS", "PATCH", "WIDTH", "build", "configured"]


def configured(network: str, depth: int = 3) -> BackboneConfig:
    """One of NETWORKS with so many blocks."""
    name = NETWORKS[network]
    given = ARCHITECTURES[name]
    if name.startswith("timm"):
        architecture = {**given, "model_args": {**given["model_args"], "depth": depth}}
        return BackboneConfig(kind="timm", architecture=architecture)
    return BackboneConfig(kind="transformers", architecture={**given, "num_hidden_layers": depth})


def build(network: str, depth: int = 3) -> Any:
    """Build it with the weights of seed 0, none of which is too small to be seen."""
    torch.manual_seed(0)
    backbone: Any = build_backbone(configured(network, depth), IMAGE)
    enlarge(backbone)
    return backbone
