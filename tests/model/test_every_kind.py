"""Every kind of transformer takes what the other parts do to it: adapters, ExPLoRA, masked autoencoding, copies."""

import copy
from typing import Any

import pytest
import torch

from stage1.model import AdapterConfig, ExploraConfig
from stage1.model.adapters import adapt, adapt_for_explora, merge
from stage1.model.execution import recompute_blocks
from stage1.model.masked_autoencoder import MaskedAutoencoder
from tests.model.small_backbones import ARCHITECTURES, build, images


def shaken(backbone: Any) -> set[str]:
    """Move every trainable weight, as training would; return their names."""
    generator = torch.Generator().manual_seed(6)
    moved = {name for name, weight in backbone.named_parameters() if weight.requires_grad}
    with torch.no_grad():
        for name in sorted(moved):
            weight = backbone.get_parameter(name)
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return moved


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_adapters_are_taken_and_merged(name: str) -> None:
    backbone = build(name)
    names, start = list(backbone.state_dict()), backbone.forward_pooled(images())
    adapt(backbone, AdapterConfig(kind="lora", rank=4))
    moved = shaken(backbone)
    assert sum("lora_A" in each for each in moved) == len(backbone.linear_targets) * len(backbone.block_names)
    adapted = backbone.forward_pooled(images())
    assert (adapted - start).abs().max() > 1e-2
    merge(backbone)
    assert (backbone.forward_pooled(images()) - adapted).abs().max() < 1e-5
    assert list(backbone.state_dict()) == names


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("recomputed", [False, True])
def test_masked_autoencoding_teaches_what_explora_leaves_free(name: str, recomputed: bool) -> None:
    backbone = build(name)
    adapt_for_explora(backbone, ExploraConfig(rank=4, alpha=4))
    if recomputed:
        recompute_blocks(backbone)
    masked = MaskedAutoencoder(backbone, 0.75, 32, 1).train()
    masked(images(), torch.Generator().manual_seed(0)).loss.backward()
    free = {name: weight.grad for name, weight in backbone.named_parameters() if weight.requires_grad}
    last = backbone.block_names[-1]
    assert any("lora_A" in each for each in free)
    assert any(each.startswith(last) for each in free)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in free.values())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_is_another_network(name: str) -> None:
    """As averaged weights are: a copy that shares nothing with the network it was made of."""
    backbone = build(name)
    expected = backbone.forward_pooled(images())
    other = copy.deepcopy(backbone)
    shaken(backbone)
    assert torch.equal(other.forward_pooled(images()), expected)
