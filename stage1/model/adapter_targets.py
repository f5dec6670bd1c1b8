"""Which layers of which blocks are adapted: names in a configuration against the layers that a transformer has.

A fused query-key-value layer has three more names, its own with .query, .key or .value behind it: each means one third
of it, and where one is asked for the layer is split (`stage1.model.fused`).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

from torch import nn

from stage1.errors import BadConfig
from stage1.model.fused import PARTS, is_fused
from stage1.model.patch_transformer import PatchTransformer


class Target(NamedTuple):
    """A layer that gets an adapter.

    Attributes:
        name: Full name that it will have, e.g. trunk.blocks.0.attn.qkv.query.
        layer: Full name of the layer that is there now, e.g. trunk.blocks.0.attn.qkv.
        shape: Outputs and inputs.
    """

    name: str
    layer: str
    shape: tuple[int, int]

    @property
    def is_part(self) -> bool:
        """Whether the layer must be split first."""
        return self.name != self.layer


def choose_blocks(transformer: PatchTransformer, indices: Iterable[int], field: str) -> list[str]:
    """Return the names of the blocks with these indices, negative ones counted from the end, in order of depth."""
    names = transformer.block_names
    depth, asked = len(names), list(indices)
    if wrong := [index for index in asked if not -depth <= index < depth]:
        raise BadConfig(f"{field}: there is no block {wrong[0]}; the backbone has {depth}, 0 to {depth - 1}.")
    return [names[index] for index in sorted({index % depth for index in asked})]


def choose_targets(
    transformer: PatchTransformer, blocks: Sequence[str], wanted: Sequence[str], field: str
) -> list[Target]:
    """Return the linear layers of `blocks` that are called so, wholly or by their last words.

    Raises:
        BadConfig: A block has no such layer, or both a fused layer and a part of it are wanted.
    """
    found: dict[str, Target] = {}
    for block in blocks:
        there = _layers(transformer, block)
        for target in wanted:
            named = [name for name in there if f".{name}".endswith(f".{target}")]
            if not named:
                raise BadConfig(
                    f"{field}: block {block} has no linear layer {target!r}; it has {', '.join(there) or 'none'}."
                )
            found |= {there[name].name: there[name] for name in named}
    if twice := [target for target in found.values() if target.is_part and target.layer in found]:
        raise BadConfig(
            f"{field}: {twice[0].name} is a part of {twice[0].layer}, which is named too; give one of them."
        )
    return list(found.values())


def query_and_value(transformer: PatchTransformer) -> list[str]:
    """Return what names query and value alone in a block: separate layers, or parts of the fused one."""
    first = _layers(transformer, transformer.block_names[0])
    names: list[str] = []
    for target in transformer.attention_targets:
        names += [f"{target}.query", f"{target}.value"] if f"{target}.query" in first else [target]
    return names


def _layers(transformer: PatchTransformer, block: str) -> dict[str, Target]:
    """Linear layers by their name within the block, the parts of a fused one behind it."""
    there: dict[str, Target] = {}
    for name, layer in cast(nn.Module, transformer).get_submodule(block).named_modules():
        if isinstance(layer, nn.Linear):
            full, shape = f"{block}.{name}", (layer.out_features, layer.in_features)
            there[name] = Target(full, full, shape)
            if is_fused(name, layer):
                part = (layer.out_features // len(PARTS), layer.in_features)
                there |= {f"{name}.{word}": Target(f"{full}.{word}", full, part) for word in PARTS}
    return there
