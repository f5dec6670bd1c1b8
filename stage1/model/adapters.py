"""Low-rank adapters on a transformer's frozen blocks, by PEFT: attached in place, merged in place.

An adapted backbone is the same object with the same interface; its adapted layers have PEFT's names until `merge` gives
it its own names back, with the adapters in its weights. PEFT takes 10 s to import: nothing here does before it must.

LoRA: Hu et al., ICLR 2022, arXiv 2106.09685. DoRA: Liu et al., ICML 2024, arXiv 2402.09353. rsLoRA: Kalajdzievski 2023,
arXiv 2312.03732. PiSSA: Meng et al., NeurIPS 2024, arXiv 2404.02948. ExPLoRA: Khanna et al., ICML 2025,
arXiv 2406.10973.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import nn

from stage1.errors import BadConfig
from stage1.model.adapter_config import AdapterConfig, ExploraConfig
from stage1.model.adapter_targets import Target, choose_blocks, choose_targets, query_and_value
from stage1.model.backbone import Backbone
from stage1.model.fused import SplitLinear
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
        BadConfig: The backbone is no transformer, a block or target does not exist or passes its layer by, or the rank
            is too high.
    """
    if config.kind == "none":
        return
    transformer = _transformer(backbone, f"adapter.kind {config.kind!r}", "adapter.kind 'none', which trains it whole")
    depth = len(transformer.block_names)
    asked = range(max(0, depth - config.last_blocks), depth) if config.last_blocks else config.blocks or range(depth)
    blocks = choose_blocks(transformer, asked, "adapter.blocks")
    targets = choose_targets(transformer, blocks, config.targets or transformer.linear_targets, "adapter.targets")
    _attach(transformer, targets, config.rank, config.alpha, config.dropout, "adapter.rank", _KINDS[config.kind])
    if config.train_norms:
        _unfreeze(transformer, transformer.norm_names)


def adapt_for_explora(backbone: Backbone, config: ExploraConfig) -> None:
    """Leave the chosen blocks and all norms trainable, put LoRA elsewhere, freeze the rest; raises as `adapt`.

    Unless targets are named, query and value get LoRA; of a fused layer its query and value parts do.
    """
    transformer = _transformer(backbone, "method 'explora'", "method 'full', which trains it whole")
    unfrozen = choose_blocks(transformer, config.unfrozen_blocks, "explora.unfrozen_blocks")
    others = [name for name in transformer.block_names if name not in unfrozen]
    if not others:
        raise BadConfig(
            f"explora.unfrozen_blocks: {list(config.unfrozen_blocks)} are all {len(unfrozen)} blocks, so nothing is "
            "left for LoRA. Leave one out, or use method 'full'."
        )
    targets = choose_targets(transformer, others, config.targets or query_and_value(transformer), "explora.targets")
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
        cast(Any, layer).merge(safe_merge=True)
        network.set_submodule(name, layer.get_base_layer())
    for name, split in [pair for pair in network.named_modules() if isinstance(pair[1], SplitLinear)]:
        network.set_submodule(name, split.fuse())
    del network.peft_config
    network.requires_grad_(True)


def _transformer(backbone: Backbone, wanted_by: str, instead: str) -> PatchTransformer:
    if isinstance(backbone, PatchTransformer):
        return backbone
    raise BadConfig(
        f"{wanted_by} needs a transformer over patches (a ViT of timm or transformers), and this backbone is a "
        f"{type(backbone).__name__} of another kind. It can take: {instead}."
    )


def _attach(
    transformer: PatchTransformer,
    targets: list[Target],
    rank: int,
    alpha: float,
    dropout: float,
    field: str,
    options: dict[str, Any],
) -> None:
    for target in targets:
        if rank >= min(target.shape):
            raise BadConfig(
                f"{field}: {rank} is no low rank for {target.name}, which is {target.shape[0]} x {target.shape[1]}; "
                f"give at most {min(target.shape) - 1}."
            )
    network = cast(nn.Module, transformer)
    _check_called(transformer, {target.layer for target in targets})
    for layer in dict.fromkeys(target.layer for target in targets if target.is_part):
        network.set_submodule(layer, SplitLinear(cast(nn.Linear, network.get_submodule(layer))))
    from peft import LoraConfig, inject_adapter_in_model

    names = [target.name for target in targets]
    given: Any = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout, "target_modules": names, **options}
    inject_adapter_in_model(LoraConfig(**given), network)  # which also freezes all that is not an adapter


def _check_called(transformer: PatchTransformer, layers: set[str]) -> None:
    """Run a blank image: a network that reads a layer's weight past the layer would never see its adapter."""
    network = cast(nn.Module, transformer)
    called: set[str] = set()
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(lambda _layer, _inputs, name=name: called.add(name))
        for name in layers
    ]
    was_training = network.training
    height, width = (cells * transformer.patch_size for cells in transformer.grid)
    parameter = next(network.parameters())
    with torch.no_grad():
        network.eval()
        cast(Backbone, transformer).forward_map(parameter.new_zeros(1, 3, height, width))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    if passed_by := sorted(layers - called):
        raise BadConfig(
            f"this backbone computes with the weights of {passed_by[0]} without calling it, so an adapter there would "
            "do nothing. Name other targets, or use no adapter."
        )


def _unfreeze(transformer: PatchTransformer, names: Iterable[str]) -> None:
    for name in names:
        cast(nn.Module, transformer).get_submodule(name).requires_grad_(True)
