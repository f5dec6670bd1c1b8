"""How a backbone is run, which changes no weight and no name: compiled, or with less memory."""

from typing import Any, cast

from torch import nn

from stage1.errors import BadConfig
from stage1.model.backbone import Backbone
from stage1.model.convnet import ConvNet
from stage1.model.patch_transformer import PatchTransformer


def prepare(backbone: Backbone, *, recompute: bool, compiled: bool) -> None:
    """Do what is asked for of the two below; call it after adapters were attached."""
    if recompute:
        recompute_blocks(backbone)
    if compiled:
        compile_blocks(backbone)


def recompute_blocks(backbone: Backbone) -> None:
    """Keep only what enters each block for the backward pass and compute the rest again (gradient checkpointing).

    Training takes about a third longer and activations shrink to one tensor a block; evaluation is as it was.

    Raises:
        BadConfig: The network cannot.
    """
    network = cast(Any, backbone)
    if isinstance(backbone, PatchTransformer):
        network.recompute_blocks = True
        return
    try:
        network.trunk.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:
        raise BadConfig(
            f"gradient checkpointing: this {type(backbone).__name__} cannot compute its activations again. Use a "
            "transformer, or leave it off and make the batch smaller."
        ) from error


def compile_blocks(backbone: Backbone) -> None:
    """Compile each block with torch.compile, in place; they are alike, so one of them is compiled and all use it.

    What is not a transformer is compiled as a whole.
    """
    network = cast(nn.Module, backbone)
    if isinstance(backbone, PatchTransformer):
        parts = [network.get_submodule(name) for name in backbone.block_names]
    else:
        parts = [network.stages if isinstance(network, ConvNet) else network]
    for part in parts:
        part.compile()
