"""Block by block is the library's own forward; some patches alone, in any order, keep their own positions."""

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stage1.errors import BadConfig
from stage1.model.patch_transformer import PatchTransformer
from tests.model.small_backbones import (
    ARCHITECTURES,
    DEPTH,
    GRID,
    IMAGE,
    KINDS,
    PATCH,
    WIDTH,
    build,
    enlarge,
    images,
    library_tokens,
)

NUM_PATCHES = GRID**2


@pytest.fixture(scope="module", params=ARCHITECTURES)
def backbone(request: pytest.FixtureRequest) -> Any:
    return build(request.param)


def orders(count: int, kept: int) -> Tensor:
    """A different order of different patches for each image, [count, kept]."""
    generator = torch.Generator().manual_seed(3)
    return torch.stack([torch.randperm(NUM_PATCHES, generator=generator)[:kept] for _ in range(count)])


def is_patch_transformer(backbone: object) -> bool:
    return isinstance(backbone, PatchTransformer)


def chosen(tokens_BPF: Tensor, ids_BV: Tensor) -> Tensor:
    return tokens_BPF[torch.arange(len(ids_BV)).unsqueeze(1), ids_BV]


def largest_gap(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    assert expected.std() > 0.1, "there is something to see"
    return float((found - expected).detach().abs().max())


def test_all_patches_are_encoded_as_the_library_does(backbone: Any) -> None:
    tokens_BTF = library_tokens(backbone, images())
    expected = tokens_BTF[:, backbone.num_prefix :].transpose(1, 2).unflatten(2, (GRID, GRID))  # type: ignore[no-untyped-call]
    assert largest_gap(backbone.forward_map(images()), expected) < 1e-5
    assert (backbone.num_features, backbone.stride, backbone.patch_size, backbone.grid) == (WIDTH, 8, 8, (GRID, GRID))


def test_all_patches_in_any_order_are_the_same_patches(backbone: Any) -> None:
    """What tells a position that is lost, or another patch's: learned, rotary, by head or by axis."""
    ids_BV = orders(3, NUM_PATCHES)
    tokens_BTF = library_tokens(backbone, images())
    prefix, patches = tokens_BTF[:, : backbone.num_prefix], tokens_BTF[:, backbone.num_prefix :]
    expected = torch.cat([prefix, chosen(patches, ids_BV)], dim=1)
    assert largest_gap(backbone.encode_visible(images(), ids_BV), expected) < 1e-5
    assert largest_gap(backbone.encode_visible(images(), ids_BV), tokens_BTF) > 1e-2, "order is seen"


def test_half_of_the_patches_see_each_other_and_nothing_else(backbone: Any) -> None:
    """The reference is the library's own forward of all patches, in which no token may attend to a hidden patch."""
    ids_BV = orders(1, NUM_PATCHES // 2)
    seen_T = torch.ones(backbone.num_prefix + NUM_PATCHES, dtype=torch.bool)
    seen_T[backbone.num_prefix :] = False
    seen_T[backbone.num_prefix + ids_BV[0]] = True
    plain: Any = functional.scaled_dot_product_attention

    def masked(query: Tensor, key: Tensor, value: Tensor, *_: Any, **options: Any) -> Tensor:
        mask_TT = seen_T.expand(len(seen_T), -1)
        return cast(Tensor, plain(query, key, value, attn_mask=mask_TT, scale=options.get("scale")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "scaled_dot_product_attention", masked)
        tokens_BTF = library_tokens(backbone, images(1))
    prefix, patches = tokens_BTF[:, : backbone.num_prefix], tokens_BTF[:, backbone.num_prefix :]
    expected = torch.cat([prefix, chosen(patches, ids_BV)], dim=1)
    assert largest_gap(backbone.encode_visible(images(1), ids_BV), expected) < 1e-5


def _norm(x: Tensor, layer: Any, epsilon: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    normed: Tensor = centred / (centred.square().mean(-1, keepdim=True) + epsilon).sqrt() * layer.weight + layer.bias
    return normed


def _turned(x_HTD: Tensor, angles_TD: Tensor) -> Tensor:
    """Rotate channel i and i + D / 2 together by one angle."""
    first, second = x_HTD.chunk(2, dim=-1)
    cos, sin = angles_TD.cos().chunk(2, dim=-1)[0], angles_TD.sin().chunk(2, dim=-1)[0]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _angles(ids: Tensor, head_width: int) -> Tensor:
    """DINOv3's: patch centres in [-1, 1], periods 100^(2 j / (D / 2)), rows before columns."""
    rows, columns = ids // GRID, ids % GRID
    centres = 2 * (torch.stack([rows, columns], dim=1) + 0.5) / GRID - 1
    periods = 100 ** (2 * torch.arange(head_width // 4) / (head_width // 2))
    return (2 * math.pi * centres.unsqueeze(2) / periods).flatten(1).repeat(1, 2)


@pytest.mark.parametrize("name", ["timm dinov3", "transformers dinov3"])
def test_half_of_the_patches_by_hand(name: str) -> None:
    """DINOv3 written out: embedding, rotary attention, MLP and norms of one image, from the weights alone."""
    backbone, x_CHW = build(name), images(1)[0]
    trunk, ids_V = backbone.trunk, orders(1, NUM_PATCHES // 2)[0]
    timm = name.startswith("timm")
    embeddings = trunk if timm else trunk.embeddings
    conv = trunk.patch_embed.proj if timm else embeddings.patch_embeddings
    tokens = [embeddings.cls_token[0], embeddings.reg_token[0] if timm else embeddings.register_tokens[0]]
    for patch in ids_V.tolist():
        row, column = PATCH * (patch // GRID), PATCH * (patch % GRID)
        pixels = x_CHW[:, row : row + PATCH, column : column + PATCH]
        tokens.append((conv.weight * pixels).sum((1, 2, 3)).unsqueeze(0) + conv.bias)
    x_TF = torch.cat(tokens)
    angles_TD = torch.cat([torch.zeros(5, WIDTH // 2), _angles(ids_V, WIDTH // 2)])
    for block in trunk.blocks if timm else trunk.model.layer:
        attention = block.attn if timm else block.attention
        normed = _norm(x_TF, block.norm1, 1e-5)
        if timm:
            query, key, value = attention.qkv(normed).chunk(3, dim=1)
        else:
            query, key, value = attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)
        query, key, value = (part.unflatten(1, (2, -1)).transpose(0, 1) for part in (query, key, value))
        scores = _turned(query, angles_TD) @ _turned(key, angles_TD).transpose(1, 2) / math.sqrt(WIDTH // 2)
        mixed = (scores.softmax(dim=-1) @ value).transpose(0, 1).flatten(1)
        x_TF = x_TF + (attention.proj if timm else attention.o_proj)(mixed)
        wide, narrow = (block.mlp.fc1, block.mlp.fc2) if timm else (block.mlp.up_proj, block.mlp.down_proj)
        x_TF = x_TF + narrow(functional.gelu(wide(_norm(x_TF, block.norm2, 1e-5))))
    expected = _norm(x_TF, trunk.norm, 1e-5)
    assert largest_gap(backbone.encode_visible(x_CHW.unsqueeze(0), ids_V.unsqueeze(0))[0], expected) < 1e-5


def test_both_dinov3_are_one_network() -> None:
    """The same weights under the other library's names give the same numbers."""
    ours, theirs = build("timm dinov3, biases"), build("transformers dinov3")
    given = theirs.trunk.state_dict()
    found = {
        "cls_token": given["embeddings.cls_token"],
        "reg_token": given["embeddings.register_tokens"],
        **{f"patch_embed.proj.{part}": given[f"embeddings.patch_embeddings.{part}"] for part in ("weight", "bias")},
        **{f"norm.{part}": given[f"norm.{part}"] for part in ("weight", "bias")},
    }
    for number in range(DEPTH):
        old, new = f"model.layer.{number}", f"blocks.{number}"
        for part in ("weight", "bias"):
            for before, after in (("attention.o_proj", "attn.proj"), ("mlp.up_proj", "mlp.fc1"), ("norm1", "norm1")):
                found[f"{new}.{after}.{part}"] = given[f"{old}.{before}.{part}"]
            found[f"{new}.mlp.fc2.{part}"] = given[f"{old}.mlp.down_proj.{part}"]
            found[f"{new}.norm2.{part}"] = given[f"{old}.norm2.{part}"]
        found[f"{new}.attn.qkv.weight"] = torch.cat([given[f"{old}.attention.{x}_proj.weight"] for x in "qkv"])
        for letter in "qv":
            found[f"{new}.attn.{letter}_bias"] = given[f"{old}.attention.{letter}_proj.bias"]
        for count in (1, 2):
            found[f"{new}.gamma_{count}"] = given[f"{old}.layer_scale{count}.lambda1"]
    ours.trunk.load_state_dict(found)
    ids_BV = orders(3, 7)
    assert largest_gap(ours.forward_map(images()), theirs.forward_map(images())) < 1e-5
    assert largest_gap(ours.encode_visible(images(), ids_BV), theirs.encode_visible(images(), ids_BV)) < 1e-5


@pytest.mark.parametrize("name", ["timm dinov3", "transformers dinov2, registers"])
@pytest.mark.parametrize("pooling", ["", "mean", "cls", "cls_mean"])
def test_pooling_is_the_class_token_the_mean_of_patches_or_both(name: str, pooling: str) -> None:
    backbone = build(name, pooling=pooling)
    tokens_BTF = library_tokens(backbone, images())
    cls, mean = tokens_BTF[:, 0], tokens_BTF[:, 5:].mean(1)
    expected = {"cls": cls, "cls_mean": torch.cat([cls, mean], dim=1)}.get(pooling, mean)
    assert largest_gap(backbone.forward_pooled(images()), expected) < 1e-5
    assert backbone.num_pooled == expected.shape[1]


@pytest.mark.parametrize("pooling", ["cls", "cls_mean"])
def test_a_network_without_a_class_token_cannot_be_pooled_by_it(pooling: str) -> None:
    with pytest.raises(BadConfig, match=rf"pooling: '{pooling}' needs a class token.*Use 'mean'"):
        build("timm vit, no class token", pooling=pooling)


def test_names_lead_to_what_they_say(backbone: Any) -> None:
    order: list[str] = []
    for name in backbone.block_names:
        backbone.get_submodule(name).register_forward_hook(lambda *_, name=name: order.append(name))
    backbone.forward_map(images(1))
    assert is_patch_transformer(backbone)
    assert order == backbone.block_names
    assert len(order) == DEPTH
    norms = {name for name, module in backbone.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    assert set(backbone.norm_names) == norms
    assert len(norms) >= 2 * DEPTH + 1
    for block in backbone.block_names:
        linear = {
            name for name, module in backbone.get_submodule(block).named_modules() if "Linear" in str(type(module))
        }
        assert set(backbone.linear_targets) == linear
        shapes = [tuple(backbone.get_submodule(f"{block}.{name}").weight.shape) for name in backbone.attention_targets]
        assert shapes in ([(3 * WIDTH, WIDTH)], [(WIDTH, WIDTH), (WIDTH, WIDTH)])


def test_every_weight_is_used_and_a_training_step_is_no_lottery(backbone: Any) -> None:
    """Data-parallel training waits for a gradient of every weight; DINOv3's random positions would change the second
    of two equal forwards."""
    backbone.train()
    first = backbone.forward_pooled(images())
    assert torch.equal(first, backbone.forward_pooled(images()))
    backbone.zero_grad()
    (first * torch.randn_like(first)).sum().backward()
    unused = [name for name, parameter in backbone.named_parameters() if parameter.grad is None]
    backbone.eval()
    assert unused == []


def test_every_linear_layer_is_called_so_that_an_adapter_beside_it_is_seen(backbone: Any) -> None:
    """timm's DINOv3 with biases would read the fused layer's weight past the layer."""
    called: set[str] = set()
    names = {f"{block}.{target}" for block in backbone.block_names for target in backbone.linear_targets}
    for name in names:
        backbone.get_submodule(name).register_forward_hook(lambda *_, name=name: called.add(name))
    backbone.encode_visible(images(), orders(3, 4))
    assert called == names


@pytest.mark.parametrize("name", KINDS)
def test_attention_is_torchs_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Any = functional.scaled_dot_product_attention
    seen: list[Any] = []

    def counted(*arguments: Any, **options: Any) -> Tensor:
        seen.append(arguments[0].shape)
        return cast(Tensor, plain(*arguments, **options))

    backbone = build(name)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    backbone.encode_visible(images(), orders(3, 4))
    assert seen == [(3, 2, backbone.num_prefix + 4, WIDTH // 2)] * DEPTH


@pytest.mark.parametrize("name", KINDS)
def test_half_precision_is_the_callers_autocast(name: str) -> None:
    backbone = build(name)
    exact = backbone.forward_pooled(images())
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone.forward_pooled(images())
        some = backbone.encode_visible(images(), orders(3, 4))
    gap = largest_gap(rough.float(), exact)
    assert 1e-4 < gap < 0.1
    assert some.isfinite().all()
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("size", "words"), [(36, "Use 32 or 40"), (4, "Use 8 or 16")])
def test_images_that_patches_do_not_tile_are_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(BadConfig, match=rf"image_size: {size} pixels are no whole number .* of 8 pixels\. {words}"):
        build(name, image_size=size)


def test_a_network_that_norms_after_its_mean_norms_its_tokens_here() -> None:
    """timm's networks without class token keep their last norm for the mean; masked training needs normed tokens."""
    import timm

    backbone = build("timm vit, no class token")
    args = ARCHITECTURES["timm vit, no class token"]["model_args"]
    plain: Any = timm.create_model("vit_small_patch16_224", img_size=IMAGE, num_classes=0, **args)
    plain.eval()
    enlarge(plain)
    weights = {name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: tensor
               for name, tensor in backbone.trunk.state_dict().items()}  # fmt: skip
    plain.load_state_dict(weights)
    expected = plain.fc_norm(plain.forward_features(backbone.statistics(images())))
    assert largest_gap(backbone.encode_visible(images(), torch.arange(NUM_PATCHES).expand(3, -1)), expected) < 1e-5
    assert cast(Any, backbone).num_prefix == 0
