"""Compiled or recomputed, a backbone gives the same numbers and keeps its names; recomputing saves memory."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stage1.errors import BadConfig
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.model.execution import compile_blocks, recompute_blocks
from tests.model.small_backbones import KINDS, build, images


def step(backbone: Any) -> tuple[Tensor, dict[str, Tensor], int]:
    """One training pass: what came out, the gradients, and the bytes that were kept for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    backbone.train()
    backbone.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        pooled = backbone.forward_pooled(images())
    num_bytes = sum(kept.values())
    pooled.square().sum().backward()
    return pooled.detach(), {name: weight.grad.clone() for name, weight in backbone.named_parameters()}, num_bytes


@pytest.mark.parametrize("name", KINDS)
def test_recomputing_gives_the_same_gradients_from_less_memory(name: str) -> None:
    expected, gradients, plain_bytes = step(build(name))
    backbone = build(name)
    recompute_blocks(backbone)
    pooled, found, num_bytes = step(backbone)
    assert torch.equal(pooled, expected)
    assert max(float((found[name] - gradients[name]).abs().max()) for name in gradients) < 1e-4
    assert num_bytes < plain_bytes / 2


def test_recomputing_draws_the_same_dropout_again() -> None:
    """Kept and recomputed activations must come from one mask, or gradients belong to no loss."""
    found = []
    for recomputed in (False, True):
        backbone = build("timm vit")
        for module in backbone.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        if recomputed:
            recompute_blocks(backbone)
        torch.manual_seed(5)
        found.append(step(backbone))
    (first, gradients, _), (second, again, _) = found
    assert torch.equal(first, second)
    assert max(float((again[name] - gradients[name]).abs().max()) for name in gradients) < 1e-4


def test_timms_convolutions_recompute_and_ours_cannot() -> None:
    network: Any = build_backbone(BackboneConfig(kind="timm", name="test_convnext"), 64)
    recompute_blocks(network)
    assert all(stage.grad_checkpointing for stage in network.trunk.stages)
    with pytest.raises(BadConfig, match="ConvNet cannot compute its activations again"):
        recompute_blocks(build_backbone(BackboneConfig(), 16))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of torch's tracer
@pytest.mark.parametrize("name", ["timm dinov3", "transformers dinov3", "convnet", "convolution of timm"])
def test_compiled_parts_are_run_and_change_neither_numbers_nor_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inductor's code is torch's business: what is traced here is run as it is."""
    traced: list[Any] = []

    def keep(graph: Any, _inputs: Any) -> Any:
        traced.append(graph)
        return graph.forward

    def made() -> Any:
        torch.manual_seed(0)
        if name == "convnet":
            return build_backbone(BackboneConfig(widths=(8, 16)), 32)
        if name == "convolution of timm":
            return build_backbone(BackboneConfig(kind="timm", name="test_convnext"), 64)
        return build(name)

    size = 64 if name == "convolution of timm" else 32
    plain, backbone = made().eval(), made().eval()
    with monkeypatch.context() as patch:
        compile_with = torch.nn.Module.compile
        patch.setattr(torch.nn.Module, "compile", lambda module: compile_with(module, backend=keep))
        compile_blocks(backbone)
    assert list(backbone.state_dict()) == list(plain.state_dict())
    torch.compiler.reset()
    expected = plain.forward_pooled(images(size=size))
    assert torch.allclose(backbone.forward_pooled(images(size=size)), expected, atol=1e-5)
    assert traced
    if name.endswith("dinov3"):
        assert len(traced) == 1, "blocks are alike: one is traced, both run it"
        ids_BV = torch.tensor([[3, 1, 7], [0, 2, 15], [9, 8, 4]])
        some = plain.encode_visible(images(), ids_BV)
        assert torch.allclose(backbone.encode_visible(images(), ids_BV), some, atol=1e-5)
