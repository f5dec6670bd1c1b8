"""Low-rank adapters on a transformer's frozen blocks, by PEFT: attached in place, merged in place.

An adapted backbone is the same object with the same interface; its adapted layers have PEFT's names until `merge` gives
it its own names back, with the adapters in its weights. PEFT takes 10 s to import: nothing here does before it must.

LoRA: Hu et al., ICLR 2022, arXiv 2106.09685. DoRA: Liu et al., ICML 2024, arXiv 2402.09353. rsLoRA: Kalajdzievski 2023,
arXiv 2312.03732. PiSSA: Meng et al., NeurIPS 2024, arXiv 2404.02948. ExPLoRA: Khanna et al., ICML 2025,
arXiv 2406.10973.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from torch import nn

from stage1.errors import BadConfig
from stage1.model.adapter_config import AdapterConfig, ExploraConfig
from stage1.model.backbone import Backbone
from stage1.model.patch_transformer import PatchTransformer

_KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "pissa": {"init_lora_weights": "pissa"},
}


def adapt(backbone: Backbone, config: AdapterConfig) -> None:
    """Freeze the backbone, put adapters beside the chosen layers and leave them, and its norms if so asked, trainable.

    With kind 'none' nothing is changed. Draws initial weights from torch's global generator.

    Raises:
        BadConfig: The backbone is no transformer, a block or target does not exist, or the rank is too high.
    """
    if config.kind == "none":
        return
    transformer = as_transformer(backbone, f"adapter.kind {config.kind!r}", "adapter.kind 'none'")
    depth = len(transformer.block_names)
    asked = range(max(0, depth - config.last_blocks), depth) if config.last_blocks else config.blocks or range(depth)
    blocks = choose_blocks(transformer, asked, "adapter.blocks")
    targets = choose_targets(transformer, blocks, config.targets or transformer.linear_targets, "adapter.targets")
    _attach(transformer, targets, config.rank, config.alpha, config.dropout, "adapter.rank", _KINDS[config.kind])
    if config.train_norms:
        _unfreeze(transformer, transformer.norm_names)


def adapt_for_explora(backbone: Backbone, config: ExploraConfig) -> None:
    """Leave the chosen blocks and all norms trainable, put LoRA elsewhere, freeze the rest; raises as `adapt`."""
    transformer = as_transformer(backbone, "method 'explora'", "method 'full'")
    unfrozen = choose_blocks(transformer, config.unfrozen_blocks, "explora.unfrozen_blocks")
    others = [name for name in transformer.block_names if name not in unfrozen]
    if not others:
        raise BadConfig(
            f"explora.unfrozen_blocks: {list(config.unfrozen_blocks)} are all {len(unfrozen)} blocks, so nothing is "
            "left for LoRA. Leave one out, or use method 'full'."
        )
    targets = choose_targets(transformer, others, config.targets or transformer.attention_targets, "explora.targets")
    _attach(transformer, targets, config.rank, config.alpha, 0.0, "explora.rank", _KINDS["lora"])
    _unfreeze(transformer, [*unfrozen, *transformer.norm_names])


def merge(backbone: Backbone) -> None:
    """Add every adapter to the weights beside it and give the layers their own names back; all weights can learn again.

    A backbone without adapters is left as it is.
    """
    network = cast(nn.Module, backbone)
    if not hasattr(network, "peft_config"):
        return
    from peft.tuners.lora import LoraLayer

    for name, layer in [pair for pair in network.named_modules() if isinstance(pair[1], LoraLayer)]:
        parent, _, own = name.rpartition(".")
        cast(Any, layer).merge(safe_merge=True)
        setattr(network.get_submodule(parent), own, layer.get_base_layer())
    del network.peft_config
    network.requires_grad_(True)


def as_transformer(backbone: Backbone, wanted_by: str, instead: str) -> PatchTransformer:
    """Return the backbone as a patch transformer, or say what it can take."""
    if isinstance(backbone, PatchTransformer):
        return backbone
    raise BadConfig(
        f"{wanted_by} needs a transformer over patches (a ViT of timm or transformers), and this backbone is a "
        f"{type(backbone).__name__} of another kind. It can take: {instead}."
    )


def choose_blocks(transformer: PatchTransformer, indices: Iterable[int], field: str) -> list[str]:
    """Return the names of the blocks with these indices, negative ones counted from the end, in order of depth."""
    names = transformer.block_names
    depth, asked = len(names), list(indices)
    if wrong := [index for index in asked if not -depth <= index < depth]:
        raise BadConfig(f"{field}: there is no block {wrong[0]}; the backbone has {depth}, 0 to {depth - 1}.")
    return [names[index] for index in sorted({index % depth for index in asked})]


def choose_targets(
    transformer: PatchTransformer, blocks: Sequence[str], wanted: Sequence[str], field: str
) -> list[str]:
    """Return full names of the linear layers of `blocks` that are called so, wholly or by their last words."""
    found = []
    for block in blocks:
        layers = cast(nn.Module, transformer).get_submodule(block).named_modules()
        there = [name for name, layer in layers if isinstance(layer, nn.Linear)]
        for target in wanted:
            named = [name for name in there if f".{name}".endswith(f".{target}")]
            if not named:
                raise BadConfig(
                    f"{field}: block {block} has no linear layer {target!r}; it has {', '.join(there) or 'none'}."
                )
            found += [f"{block}.{name}" for name in named if f"{block}.{name}" not in found]
    return found


def _attach(
    transformer: PatchTransformer,
    targets: list[str],
    rank: int,
    alpha: float,
    dropout: float,
    field: str,
    options: dict[str, Any],
) -> None:
    network = cast(nn.Module, transformer)
    for name in targets:
        layer = cast(nn.Linear, network.get_submodule(name))
        if rank >= min(layer.in_features, layer.out_features):
            raise BadConfig(
                f"{field}: {rank} is no low rank for {name}, which is {layer.out_features} x {layer.in_features}; "
                f"give at most {min(layer.in_features, layer.out_features) - 1}."
            )
    from peft import LoraConfig, inject_adapter_in_model

    given: Any = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "target_modules": targets, **options}
    inject_adapter_in_model(LoraConfig(**given), network)  # which also freezes all that is not an adapter


def _unfreeze(transformer: PatchTransformer, names: Iterable[str]) -> None:
    for name in names:
        cast(nn.Module, transformer).get_submodule(name).requires_grad_(True)
