"""The schedule's values, and which parameters decay, move slower or stand still."""

from math import cos, pi

import pytest
import torch
from torch import nn

from stage1.errors import BadConfig
from stage1.model.adapter_config import AdapterConfig
from stage1.model.adapters import adapt
from stage1.model.backbone import build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.masked import MaskedModel
from stage1.training.config import OptimiserConfig
from stage1.training.optimiser import Descent, parameter_groups, schedule
from tests.model.patch_transformers import build as build_tiny


def classifier() -> SelectiveClassifier:
    return SelectiveClassifier(build_backbone(BackboneConfig(widths=(8, 16)), 16))


def test_the_schedule_climbs_in_a_line_and_falls_in_half_a_cosine() -> None:
    """100 steps, of which 20 warm up; 60 is the middle of what is left."""
    rates = [schedule(step, 100, 0.2) for step in range(100)]
    assert rates[0] == 1 / 20
    assert rates[9] == 10 / 20
    assert rates[19] == 1
    assert rates[20] == 1
    assert rates[40] == pytest.approx(0.5 * (1 + cos(pi / 4)))
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + cos(pi * 79 / 80)))
    assert schedule(100, 100, 0.2) == pytest.approx(0)
    assert rates[19:] == sorted(rates[19:], reverse=True)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_run_of_few_steps_learns_in_each(num_steps: int) -> None:
    assert all(0 < schedule(step, num_steps, warmup) <= 1 for warmup in (0, 0.1, 0.9) for step in range(num_steps))


def names_by_decay(module: nn.Module) -> dict[float, set[str]]:
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[float, set[str]] = {}
    for group in parameter_groups(module, OptimiserConfig(weight_decay=0.3)):
        found.setdefault(group["weight_decay"], set()).update(names[id(parameter)] for parameter in group["params"])
    return found


def test_matrices_decay_and_nothing_else_does() -> None:
    model = classifier()
    found = names_by_decay(model)
    assert set(found) == {0.0, 0.3}
    matrices = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert found[0.3] == matrices
    assert found[0.0] == {name for name, _ in model.named_parameters()} - matrices


def test_colours_tokens_and_positions_do_not_decay() -> None:
    backbone = build_backbone(BackboneConfig(kind="timm", name="test_vit"), 32)
    found = names_by_decay(MaskedModel(backbone, 16, 0.5))
    assert {"mask_colour", "backbone.trunk.pos_embed", "backbone.trunk.cls_token"} <= found[0.0]
    assert "backbone.trunk.blocks.0.attn.qkv.weight" in found[0.3]


def stepped(backbone_scale: float) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = classifier()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    config = OptimiserConfig(learning_rate=1e-2, backbone_scale=backbone_scale, weight_decay=0, warmup=0)
    images = torch.randn(4, 3, 16, 16)

    def gradients() -> torch.Tensor:
        loss = sum(output.square().sum() for output in model(images))
        loss.backward()
        return loss.detach()

    Descent(model, config, 10).step(gradients)
    return before, {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_the_backbone_moves_by_its_share_of_the_learning_rate() -> None:
    """AdamW's first step moves a parameter by the learning rate, whatever its gradient."""
    before, after = stepped(backbone_scale=0.1)
    for name, expected in (("cls.weight", 1e-2), ("backbone.stages.0.0.weight", 1e-3)):
        assert (after[name] - before[name]).abs().median().item() == pytest.approx(expected, rel=1e-3)


def test_a_scale_of_0_freezes_the_backbone() -> None:
    before, after = stepped(backbone_scale=0)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"cls.weight", "aux.weight", "gate.0.weight"} <= moved
    assert not [name for name in moved if name.startswith("backbone.")]


def rates(module: nn.Module, **changed: object) -> dict[str, float]:
    config = OptimiserConfig(learning_rate=1.0, **changed)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {names[id(each)]: group["lr"] for group in parameter_groups(module, config) for each in group["params"]}


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_dinov3_qkvb"])
def test_layers_learn_at_the_rates_that_timm_gives_them(name: str) -> None:
    """Ours names blocks by the backbone's list, timm's by its own grouping of parameters."""
    from timm.optim import param_groups_layer_decay

    backbone = build_backbone(BackboneConfig(kind="timm", name=name), 32)
    found = rates(SelectiveClassifier(backbone), layer_decay=0.7, backbone_scale=0.5)
    trunk = backbone.trunk
    names = {id(parameter): name for name, parameter in trunk.named_parameters()}
    theirs = {
        f"backbone.trunk.{names[id(each)]}": group["lr_scale"]
        for group in param_groups_layer_decay(trunk, layer_decay=0.7)
        for each in group["params"]
    }
    assert len(theirs) > 20
    assert len(set(theirs.values())) == len(backbone.block_names) + 1
    for each, scale in theirs.items():
        assert found[each] == pytest.approx(0.5 * scale), each
    assert found["cls.weight"] == found["gate.0.weight"] == 1.0


def test_a_block_of_any_library_learns_faster_the_later_it_is_and_its_adapters_with_it() -> None:
    """PEFT's names lie below the blocks'; what is frozen is in no group."""
    backbone = build_tiny("separate")
    adapt(backbone, AdapterConfig(kind="lora", rank=2, alpha=2))
    found = rates(SelectiveClassifier(backbone), layer_decay=0.5)
    depth = len(backbone.block_names)
    for number, block in enumerate(backbone.block_names):
        matrices = {name: rate for name, rate in found.items() if name.startswith(f"backbone.{block}.")}
        assert any("lora_A" in name for name in matrices)
        assert set(matrices.values()) == {0.5 ** (depth - 1 - number)}
    assert not [name for name in found if "base_layer" in name]


def test_second_matrices_of_adapters_learn_as_much_faster_as_peft_has_them() -> None:
    from peft import LoraConfig, get_peft_model
    from peft.optimizers import create_loraplus_optimizer

    backbone = build_backbone(BackboneConfig(kind="timm", name="test_vit"), 32)
    adapt(backbone, AdapterConfig(kind="lora", rank=2, alpha=2, train_norms=False))
    model = SelectiveClassifier(backbone)
    found = rates(model, lora_plus=16)
    theirs = get_peft_model(nn.Sequential(nn.Linear(8, 8)), LoraConfig(r=2, target_modules=["0"]))
    optimiser = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1.0, loraplus_lr_ratio=16)
    names = {id(parameter): name for name, parameter in theirs.named_parameters()}
    expected = {
        part: group["lr"]
        for group in optimiser.param_groups
        for each in group["params"]
        for part in ("lora_A", "lora_B")
        if part in names[id(each)]
    }
    assert expected == {"lora_A": 1.0, "lora_B": 16.0}
    adapters = [name for name in found if "lora_" in name]
    assert len(adapters) == 2 * 4 * len(backbone.block_names)
    assert all(found[name] == expected["lora_A" if "lora_A" in name else "lora_B"] for name in adapters)


def test_layers_that_a_network_has_not_cannot_decay() -> None:
    with pytest.raises(
        BadConfig, match=r"layer_decay: 0\.5 needs a transformer's blocks, and this backbone is a ConvNet"
    ):
        rates(classifier(), layer_decay=0.5)
