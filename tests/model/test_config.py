"""Backbone configuration: what is refused, and in which words."""

from typing import Any

import pytest
from pydantic import ValidationError

from stage1.model import BackboneConfig


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "timm"}, "needs a name, for example name 'vit_small_patch16_dinov3'"),
        ({"kind": "transformers", "weights": "hub"}, "needs a name, for example name 'facebook/dinov3"),
        ({"kind": "timm", "architecture": {"depth": 2}}, r"needs \{'architecture': name\}"),
        ({"kind": "convnet", "pooling": "cls"}, "pools by mean and maximum"),
        ({"kind": "timm", "name": "test_vit", "pooling": "max"}, "'cls', 'mean' or 'cls_mean'"),
        ({"kind": "convnet", "name": "resnet18"}, "did you mean kind 'timm'"),
        ({"kind": "convnet", "weights": "hub"}, "did you mean kind 'timm'"),
        ({"widths": (8, 12)}, r"positive multiples of 8, got \[8, 12\]"),
        ({"widths": (0, 8)}, "positive multiples of 8"),
        ({"widths": (8,)}, "at least 2"),
        ({"widths": (8,) * 7}, "at most 6"),
        ({"kind": "resnet"}, "'convnet', 'timm' or 'transformers'"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_backbone_that_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        BackboneConfig.model_validate(fields)
