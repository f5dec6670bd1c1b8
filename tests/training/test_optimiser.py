"""The schedule's values, and which parameters decay, move slower or stand still."""

from math import cos, pi

import pytest
import torch
from torch import nn

from stage1.model.backbone import build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.masked import MaskedModel
from stage1.training.config import OptimiserConfig
from stage1.training.optimiser import build_optimiser, schedule


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
    optimiser, _ = build_optimiser(module, OptimiserConfig(weight_decay=0.3), 10)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[float, set[str]] = {}
    for group in optimiser.param_groups:
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
    optimiser, _ = build_optimiser(model, config, 10)
    outputs = model(torch.randn(4, 3, 16, 16))
    sum(output.square().sum() for output in outputs).backward()
    optimiser.step()
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
