"""timm's networks, built by name, from its hub or from a folder that timm's own `save_for_hf` wrote.

timm takes 10 s to import, so it is imported when such a backbone is built and never by the demo.
"""

import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import nn

from stage1.errors import BadConfig
from stage1.model.backbone import MEAN, STD, Backbone
from stage1.model.config import BackboneConfig
from stage1.model.own_statistics import OwnStatistics
from stage1.model.weight_errors import cannot_build, first_words

_HUB = "hf-hub:"
_OURS = ("num_classes", "img_size")  # arguments that this project gives
# Arguments of timm.create_model that read files or the network: no description of an architecture may have them.
_REFUSED = ("checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


class _Source(NamedTuple):
    """What is to be built, what a folder or hub says of its statistics, and the checkpoint file, if it is one."""

    name: str
    model_args: dict[str, Any]
    trained_with: Mapping[str, Any]
    file: Path | None


def build_timm(config: BackboneConfig, image_size: int) -> Backbone:
    """Build a timm network as `build_backbone` does: a `TimmTransformer` where it is one, else a `TimmNetwork`."""
    source = _find(config)
    what = repr(config.name or source.name)
    trunk = _create(config, source, image_size, what)
    cfg: Mapping[str, Any] = cast(Any, trunk).pretrained_cfg
    mean, std = (
        source.trained_with.get(key) or cfg.get(key) or default for key, default in (("mean", MEAN), ("std", STD))
    )
    statistics = OwnStatistics(mean, std)
    architecture: dict[str, Any] = {}
    if source.model_args or config.architecture or source.name != config.name:
        architecture = {"architecture": source.name, "model_args": source.model_args}
    if _is_plain_transformer(trunk):
        from stage1.model.timm_transformer import TimmTransformer

        return TimmTransformer(trunk, statistics, image_size, config.pooling, architecture)
    if config.pooling not in ("", "mean"):
        raise BadConfig(f"backbone.pooling: {config.pooling!r} needs a class token, and {what} has none. Use 'mean'.")
    from stage1.model.timm_network import TimmNetwork

    return TimmNetwork(trunk, statistics, image_size, architecture)


def _find(config: BackboneConfig) -> _Source:
    """Say what the network is: the configuration first, then the folder, then the hub, then timm's own list."""
    folder = Path(config.weights) if config.weights not in ("", "hub") else None
    file = _weights_file(folder) if folder else None
    record: Mapping[str, Any] = config.architecture
    if folder and folder.is_dir() and (folder / "config.json").is_file() and not record:
        record = _read_config(folder / "config.json")
    elif config.name.startswith(_HUB) and not record:
        record = _read_hub(config)
    name = str(record.get("architecture") or config.name)
    if config.name and not config.name.startswith(_HUB) and not config.architecture:
        if name.split(".")[0] != config.name.split(".")[0]:
            raise BadConfig(
                f"backbone.name is {config.name!r}, but {folder} holds a {name}. Leave the name out, or name it so."
            )
        name = config.name
    _check_known(name)
    model_args = {key: value for key, value in dict(record.get("model_args") or {}).items() if key not in _OURS}
    if refused := [key for key in _REFUSED if key in model_args]:
        raise BadConfig(f"backbone.architecture: model_args may not have {refused[0]!r}; weights come from `weights`.")
    trained_with = record.get("pretrained_cfg") or record
    return _Source(name, model_args, trained_with, file)


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfig(f"backbone.weights: {path} is no JSON: {first_words(error)}. Copy the folder again.") from error
    if isinstance(record, dict) and isinstance(record.get("architecture"), str):
        return record
    if isinstance(record, dict) and "model_type" in record:
        raise BadConfig(
            f"backbone.weights: {path.parent} was saved by transformers (model_type {record['model_type']!r}), not by "
            "timm. Use backbone.kind 'transformers'."
        )
    raise BadConfig(f"backbone.weights: {path} names no timm architecture. Give a folder that timm saved, or one file.")


def _read_hub(config: BackboneConfig) -> Mapping[str, Any]:
    from timm.models import load_model_config_from_hf

    try:
        cfg, name, model_args = load_model_config_from_hf(config.name.removeprefix(_HUB))
    except Exception as error:  # the hub's client raises a dozen kinds
        raise cannot_build(repr(config.name), config.weights, first_words(error)) from error
    return {"architecture": name, "model_args": model_args, "pretrained_cfg": cfg}


def _check_known(name: str) -> None:
    import timm

    if timm.is_model(name.split(".")[0]):
        return
    near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=8)) or "timm.list_models() lists all"
    hint = " A hub id is given to timm as hf-hub:owner/name, or to kind 'transformers'." if "/" in name else ""
    raise BadConfig(f"backbone.name: timm has no model {name!r}; near it: {near}.{hint}")


def _create(config: BackboneConfig, source: _Source, image_size: int, what: str) -> nn.Module:
    import timm

    options: dict[str, Any] = {**source.model_args, "num_classes": 0}
    name = source.name
    if config.weights == "hub":
        options["pretrained"] = True
        if config.name.startswith(_HUB):
            name = config.name
    try:
        model: nn.Module = _sized(timm.create_model, name, image_size, options)
        if source.file:
            _fill(model, source.file)
    except Exception as error:  # the hub's client, pickle, safetensors and timm each raise their own
        raise cannot_build(what, config.weights, first_words(error)) from error
    return model


def _sized(create: Any, name: str, image_size: int, options: Mapping[str, Any]) -> Any:
    """Transformers are built for one image size and say so by an argument that convolutional networks do not have."""
    try:
        return create(name, img_size=image_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    return create(name, **options)


def _fill(model: nn.Module, path: Path) -> None:
    """Load a checkpoint into `model`, through the model family's own conversion of old layouts and other image sizes.

    A classifier in it is passed over. Weights of another network would fill nothing and leave this one as random as it
    was, so a single missing weight refuses them.
    """
    from timm.models import load_checkpoint

    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    missing = load_checkpoint(model, str(path), strict=False, filter_fn=convert).missing_keys
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(model.state_dict())} weights are not in it, the first is {missing[0]}"
        )


def _is_plain_transformer(trunk: nn.Module) -> bool:
    """Whether the network is one of the two that `TimmTransformer` runs block by block."""
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    if type(trunk) not in (Eva, VisionTransformer) or type(cast(Any, trunk).patch_embed) is not PatchEmbed:
        return False
    vit = cast(Any, trunk)
    drops_patches = vit.patch_drop is not None and not isinstance(vit.patch_drop, nn.Identity)
    square = vit.patch_embed.patch_size[0] == vit.patch_embed.patch_size[1]
    return square and not drops_patches and all(hasattr(block, "attn") for block in vit.blocks)


def _weights_file(path: Path) -> Path:
    """A checkpoint file, or the one weights file of a folder in timm's own layout."""
    if path.is_file():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise BadConfig(
        f"backbone.weights: {path} is neither a checkpoint file nor a folder with model.safetensors or "
        "pytorch_model.bin. Give one of those, 'hub' to download, or '' to start from random weights."
    )
