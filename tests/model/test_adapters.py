"""Adapters: exactly what was asked for learns, nothing else moves by a bit, and merging changes no answer."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from stage1.errors import BadConfig
from stage1.model.adapter_config import AdapterConfig, ExploraConfig
from stage1.model.adapters import adapt, adapt_for_explora, merge
from stage1.model.convnet import ConvNet
from tests.model.patch_transformers import IMAGE, NETWORKS, build

KINDS = ("lora", "dora", "rslora", "pissa")
EVERY_LINEAR = {
    "fused": ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"),
    "separate": (*(f"attention.{letter}_proj" for letter in "qkvo"), "mlp.up_proj", "mlp.down_proj"),
}


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(1))


def trainable(network: torch.nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def norms(network: Any) -> set[str]:
    return {f"{name}.{kind}" for name in network.norm_names for kind in ("weight", "bias")}


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def train(network: Any, steps: int = 5) -> None:
    """Move everything that may move, far."""
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    target = torch.randn(4, network.num_features, *network.grid, generator=torch.Generator().manual_seed(2))
    for _ in range(steps):
        optimiser.zero_grad()
        (network.forward_map(images()) - target).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_give_the_answers_of_the_adapted_model(kind: Any, network: str) -> None:
    backbone = build(network)
    names, start = list(backbone.state_dict()), backbone.forward_map(images())
    adapt(backbone, AdapterConfig(kind=kind, rank=4, alpha=8))
    assert (backbone.forward_map(images()) - start).abs().max() < 1e-5, "adapters start as nothing"
    train(backbone)
    adapted = backbone.forward_map(images())
    assert (adapted - start).abs().mean() > 0.1, "they learned something"
    merge(backbone)
    assert (backbone.forward_map(images()) - adapted).abs().max() < 1e-5
    assert list(backbone.state_dict()) == names
    assert trainable(backbone) == {name for name, _ in backbone.named_parameters()}


@pytest.mark.parametrize(("network", "kind"), [("fused", "lora"), ("separate", "dora")])
def test_adapters_and_norms_learn_and_frozen_weights_are_equal_to_the_bit(network: str, kind: Any) -> None:
    backbone = build(network)
    adapt(backbone, AdapterConfig(kind=kind, rank=4))
    parts = ["lora_A.default", "lora_B.default"] + ["lora_magnitude_vector.default"] * (kind == "dora")
    expected = {
        f"{block}.{layer}.{part}.weight"
        for block in backbone.block_names for layer in EVERY_LINEAR[network] for part in parts
    } | norms(backbone)  # fmt: skip
    assert trainable(backbone) == expected
    before = state(backbone)
    train(backbone)
    assert {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])} == expected


@pytest.mark.parametrize(
    ("given", "blocks"),
    [
        ({"blocks": (0, -1)}, (0, 3)),
        ({"last_blocks": 2}, (2, 3)),
        ({"last_blocks": 9}, (0, 1, 2, 3)),
        ({}, (0, 1, 2, 3)),
    ],
)
def test_only_the_asked_for_blocks_are_adapted(given: dict[str, Any], blocks: tuple[int, ...]) -> None:
    backbone = build("fused", depth=4)
    adapt(backbone, AdapterConfig(kind="lora", rank=2, targets=("proj",), train_norms=False, **given))
    assert trainable(backbone) == {
        f"trunk.blocks.{block}.attn.proj.lora_{side}.default.weight" for block in blocks for side in "AB"
    }


def test_more_targets_than_peft_lists_without_shortening_their_names() -> None:
    """From 20 names on PEFT looks for common endings of them; the same layers must be found."""
    backbone = build("fused", depth=8)
    adapt(backbone, AdapterConfig(kind="lora", rank=2, blocks=tuple(range(7)), train_norms=False))
    assert trainable(backbone) == {
        f"trunk.blocks.{block}.{layer}.lora_{side}.default.weight"
        for block in range(7) for layer in EVERY_LINEAR["fused"] for side in "AB"
    }  # fmt: skip


def test_lora_is_what_peft_makes_of_the_same_weights() -> None:
    """Not only merged as adapted, but adapted as PEFT's own model: W x + alpha / r B A x."""
    ours, theirs = build("fused"), build("fused")
    adapt(ours, AdapterConfig(kind="rslora", rank=4, alpha=8, train_norms=False))
    train(ours)
    wanted = LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["attn.qkv", "attn.proj", "fc1", "fc2"])
    model: Any = get_peft_model(theirs, wanted)
    learned = {f"base_model.model.{name}": tensor for name, tensor in ours.state_dict().items()}
    assert not model.load_state_dict(learned).missing_keys
    assert torch.equal(model.get_base_model().forward_map(images()), ours.forward_map(images()))
    layer = ours.trunk.blocks[1].mlp.fc1
    tokens = torch.randn(7, layer.in_features)
    low_rank = layer.lora_B.default.weight @ layer.lora_A.default.weight
    expected = layer.base_layer(tokens) + 8 / 4**0.5 * tokens @ low_rank.T
    assert torch.allclose(layer(tokens), expected, atol=1e-5)


def test_of_a_fused_layer_explora_teaches_query_and_value_alone() -> None:
    backbone = build("fused")
    adapt_for_explora(backbone, ExploraConfig(rank=4))
    last = {name for name, _ in backbone.named_parameters() if name.startswith("trunk.blocks.2.")}
    assert trainable(backbone) == last | norms(backbone) | {
        f"trunk.blocks.{block}.attn.qkv.{part}.lora_{side}.default.weight"
        for block in (0, 1) for part in ("query", "value") for side in "AB"
    }  # fmt: skip
    before, names = build("fused").state_dict(), list(build("fused").state_dict())
    train(backbone)
    adapted = backbone.forward_map(images())
    merge(backbone)
    assert (backbone.forward_map(images()) - adapted).abs().max() < 1e-5
    after = backbone.state_dict()
    assert list(after) == names
    moved = {name for name in names if not torch.equal(after[name], before[name])}
    assert moved == last | norms(backbone) | {f"trunk.blocks.{block}.attn.qkv.weight" for block in (0, 1)}
    for block in (0, 1):
        name = f"trunk.blocks.{block}.attn.qkv.weight"
        query, key, value = (after[name] - before[name]).chunk(3)
        assert (key == 0).all()
        assert torch.linalg.matrix_rank(query, rtol=1e-3) == torch.linalg.matrix_rank(value, rtol=1e-3) == 4
        both = torch.cat([query, value])
        assert torch.linalg.matrix_rank(both, rtol=1e-3) == 8, "each has matrices of its own, as separate layers have"


def test_of_separate_layers_explora_teaches_query_and_value() -> None:
    backbone = build("separate")
    adapt_for_explora(backbone, ExploraConfig(unfrozen_blocks=(0, -1), rank=4))
    ends = ("trunk.model.layer.0.", "trunk.model.layer.2.")
    whole = {name for name, _ in backbone.named_parameters() if name.startswith(ends)}
    assert trainable(backbone) == whole | norms(backbone) | {
        f"trunk.model.layer.1.attention.{letter}_proj.lora_{side}.default.weight" for letter in "qv" for side in "AB"
    }
    before = state(backbone)
    learning = trainable(backbone)
    train(backbone)
    moved = {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == learning


@pytest.mark.parametrize(
    ("targets", "part"),
    [(("qkv",), ""), (("value",), ".value"), (("qkv.key",), ".key"), (("attn.qkv.query",), ".query")],
)
def test_a_fused_layer_is_named_whole_or_by_part(targets: tuple[str, ...], part: str) -> None:
    backbone = build("fused")
    adapt(backbone, AdapterConfig(kind="pissa", rank=2, targets=targets, blocks=(1,), train_norms=False))
    assert trainable(backbone) == {f"trunk.blocks.1.attn.qkv{part}.lora_{side}.default.weight" for side in "AB"}
    start = build("fused").forward_map(images())
    assert (backbone.forward_map(images()) - start).abs().max() < 1e-5
    merge(backbone)
    assert (backbone.forward_map(images()) - start).abs().max() < 1e-5


def test_kind_none_and_merging_nothing_change_nothing() -> None:
    backbone = build("fused")
    before, learning = state(backbone), trainable(backbone)
    adapt(backbone, AdapterConfig())
    merge(backbone)
    assert trainable(backbone) == learning
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_a_convolutional_network_is_told_what_it_can_take() -> None:
    words = r"adapter\.kind 'dora' needs a transformer over patches .* ConvNet .* It can take: adapter\.kind 'none'"
    with pytest.raises(BadConfig, match=words):
        adapt(ConvNet((8, 16)), AdapterConfig(kind="dora"))
    with pytest.raises(BadConfig, match=r"method 'explora' needs a transformer .* It can take: method 'full'"):
        adapt_for_explora(ConvNet((8, 16)), ExploraConfig())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"blocks": (3,)}, r"adapter\.blocks: there is no block 3; the backbone has 3, 0 to 2"),
        ({"blocks": (-4,)}, r"there is no block -4"),
        ({"targets": ("v_proj",)}, r"trunk\.blocks\.0 has no linear layer 'v_proj'; it has attn\.qkv, attn\.qkv\.q"),
        ({"targets": ("qkv", "value")}, r"qkv\.value is a part of trunk\.blocks\.0\.attn\.qkv, which is named too"),
        ({"rank": 32}, r"adapter\.rank: 32 is no low rank for trunk\.blocks\.0\.attn\.qkv, .*96 x 32; give at most 31"),
    ],
)
def test_what_cannot_be_adapted_is_refused_and_left_as_it_was(given: dict[str, Any], words: str) -> None:
    backbone = build("fused")
    names, learning = list(backbone.state_dict()), trainable(backbone)
    with pytest.raises(BadConfig, match=words):
        adapt(backbone, AdapterConfig(kind="lora", **given))
    assert (list(backbone.state_dict()), trainable(backbone)) == (names, learning)


def test_all_blocks_unfrozen_leave_nothing_for_lora() -> None:
    with pytest.raises(BadConfig, match=r"\[0, 1, 2\] are all 3 blocks, so nothing is left for LoRA"):
        adapt_for_explora(build("fused"), ExploraConfig(unfrozen_blocks=(0, 1, 2)))


def test_a_layer_whose_weight_is_read_past_it_is_refused() -> None:
    """timm's EVA adds query and value biases by hand and multiplies with qkv.weight: an adapter there would be dead."""

    class Past(torch.nn.Module):
        def __init__(self, fc: torch.nn.Linear) -> None:
            super().__init__()
            self.fc = fc

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(x, self.fc.weight, self.fc.bias)

    backbone = build("fused")
    backbone.trunk.blocks[1].mlp.fc1 = Past(backbone.trunk.blocks[1].mlp.fc1)
    backbone.train()
    with pytest.raises(BadConfig, match=r"weights of trunk\.blocks\.1\.mlp\.fc1\.fc without calling it"):
        adapt(backbone, AdapterConfig(kind="lora", rank=2, blocks=(1,), targets=("fc1.fc",)))
    assert backbone.training


def test_fields_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks \[0\] and last_blocks 2 both say which blocks"):
        AdapterConfig(kind="lora", blocks=(0,), last_blocks=2)
