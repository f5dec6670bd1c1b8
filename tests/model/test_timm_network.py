"""timm's convolutions as backbones: a map of cells, its mean, and refusals that help."""

from typing import Any

import pytest
import torch

from stage1.errors import BadConfig
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.model.masked import MaskedModel
from stage1.model.patch_transformer import PatchTransformer

# name, image size, pixels a cell; the last two are transformers: a second class token, two attentions a block
NETWORKS = [
    ("test_convnext", 64, 32),
    ("test_efficientnet", 64, 32),
    ("mobilevitv2_050", 64, 32),
    ("deit_tiny_distilled_patch16_224", 32, 16),
    ("vit_small_patch16_18x2_224", 32, 16),
]


def build(name: str, image_size: int, **fields: Any) -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(kind="timm", name=name, **fields), image_size)


@pytest.mark.parametrize(("name", "image_size", "stride"), NETWORKS)
def test_any_timm_network_gives_a_map_of_cells_and_is_trained_masked(name: str, image_size: int, stride: int) -> None:
    backbone = build(name, image_size)
    cells = image_size // stride
    images = torch.randn(2, 3, image_size, image_size)
    features = backbone.forward_map(images)
    assert features.shape == (2, backbone.num_features, cells, cells)
    assert backbone.stride == stride
    assert torch.allclose(backbone.forward_pooled(images), features.flatten(2).mean(2), atol=1e-6)
    assert backbone.num_pooled == backbone.num_features
    assert not isinstance(backbone, PatchTransformer)
    masked = MaskedModel(backbone, patch_size=8, mask_ratio=0.5)
    result = masked(images, torch.Generator().manual_seed(0))
    assert result.pixels_NCHW.shape == (2, 3, image_size, image_size)
    result.loss.backward()
    assert sum(float(parameter.grad.abs().sum()) for parameter in backbone.parameters() if parameter.grad is not None)


def test_images_that_a_network_cannot_take_are_refused_with_their_size() -> None:
    with pytest.raises(BadConfig, match=r"InceptionV3 gives no feature map of images of 32 x 32 pixels"):
        build("inception_v3", 32)


def test_a_convolution_has_no_class_token_to_pool_by() -> None:
    with pytest.raises(BadConfig, match=r"pooling: 'cls' needs a class token, and 'test_convnext' has none"):
        build("test_convnext", 64, pooling="cls")
