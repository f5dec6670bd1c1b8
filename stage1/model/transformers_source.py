"""Vision transformers of the transformers library, by hub id or from a folder that `save_pretrained` wrote.

transformers takes 10 s to import, so it is imported when such a backbone is built and never by the demo. Weights are
loaded as float32, whatever they were stored as, and no code is ever taken from a hub.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from stage1.errors import BadConfig
from stage1.model.backbone import MEAN, STD, Backbone
from stage1.model.config import BackboneConfig
from stage1.model.own_statistics import OwnStatistics
from stage1.model.weight_errors import cannot_build, first_words

# model_type -> classes of model and configuration, and what the model is built with.
_FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dinov3_vit": ("DINOv3ViTModel", "DINOv3ViTConfig", {}),
    "dinov2": ("Dinov2Model", "Dinov2Config", {}),
    "dinov2_with_registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", {}),
    "vit": ("ViTModel", "ViTConfig", {"add_pooling_layer": False}),
}
_HALF = (0.5, 0.5, 0.5)
_PREPROCESSOR = "preprocessor_config.json"
_PUBLIC = (
    *(f"facebook/dinov3-vit{size}16-pretrain-lvd1689m" for size in ("s", "b", "l")),
    *(f"facebook/dinov2-{size}" for size in ("small", "base", "large", "giant")),
    *(f"facebook/dinov2-with-registers-{size}" for size in ("small", "base", "large", "giant")),
    "google/vit-base-patch16-224",
    "google/vit-base-patch16-224-in21k",
    "google/vit-large-patch16-224",
)


def build_transformers(config: BackboneConfig, image_size: int) -> Backbone:
    """Build one of the library's vision transformers as `build_backbone` does."""
    from stage1.model.transformers_encoder import TransformersEncoder

    place = config.weights if config.weights not in ("", "hub") else config.name
    record = config.architecture or _read_architecture(config, place)
    model_type = str(record.get("model_type"))
    if model_type not in _FAMILIES:
        near = " For a timm model use kind 'timm'." if "architecture" in record else ""
        raise BadConfig(
            f"backbone: model_type {model_type!r} is none of {', '.join(_FAMILIES)}, which are the transformers of "
            f"transformers that can be used.{near}"
        )
    trunk = _load(config, place, model_type) if config.weights else _random(config, record, model_type, image_size)
    _fit_positions(trunk, image_size)
    statistics = OwnStatistics(*_statistics(place if config.weights else "", model_type))
    settings = json.loads(cast(Any, trunk).config.to_json_string())
    architecture = {key: value for key, value in settings.items() if not key.startswith("_") and key not in _NOT_KEPT}
    return TransformersEncoder(
        trunk, statistics, image_size, config.pooling, {**architecture, "model_type": model_type}
    )


_NOT_KEPT = (
    *("transformers_version", "architectures", "dtype", "torch_dtype", "id2label", "label2id"),
    *("stage_names", "out_features", "out_indices", "auto_map"),
)


def _read_architecture(config: BackboneConfig, place: str) -> Mapping[str, Any]:
    """The library's configuration in a folder or at the hub."""
    from transformers import PreTrainedConfig

    path = Path(place)
    if config.weights not in ("", "hub") and not (path / "config.json").is_file():
        raise BadConfig(
            f"backbone.weights: {path} is no folder with config.json and model.safetensors. Give the folder that "
            "save_pretrained wrote, 'hub' to download, or '' to start from random weights."
        )
    try:
        return PreTrainedConfig.get_config_dict(place)[0]
    except Exception as error:  # the hub's client and the library raise their own
        near = difflib.get_close_matches(place, _PUBLIC, n=4, cutoff=0.5)
        hint = f" Public ones near this name: {', '.join(near)}." if near and place not in near else ""
        raise cannot_build(repr(place), config.weights, first_words(error)[:300] + hint) from error


def _random(config: BackboneConfig, record: Mapping[str, Any], model_type: str, image_size: int) -> nn.Module:
    import transformers

    model_class, config_class, options = _FAMILIES[model_type]
    settings_class = getattr(transformers, config_class)
    if config.architecture:
        known = settings_class().to_dict()
        for key in record:
            if key not in known:
                near = ", ".join(difflib.get_close_matches(key, known, n=3)) or "see its documentation"
                raise BadConfig(f"backbone.architecture: {config_class} has no field {key!r}; near it: {near}.")
    try:
        settings = settings_class(**{**record, "image_size": image_size})
        settings._attn_implementation = "sdpa"
        model: nn.Module = getattr(transformers, model_class)(settings, **options)
    except Exception as error:  # a configuration's values are checked all over the library
        raise cannot_build(f"of model_type {model_type!r}", "", first_words(error)) from error
    return model.float()


def _load(config: BackboneConfig, place: str, model_type: str) -> nn.Module:
    """Load weights; one that is missing would be drawn at random with no more than a warning, so it is refused."""
    import transformers

    model_class, _, options = _FAMILIES[model_type]
    try:
        with _quietly():
            model, found = getattr(transformers, model_class).from_pretrained(
                place,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                **options,
            )
        num_weights = len(model.state_dict())
        if missing := sorted(found["missing_keys"]):
            raise ValueError(f"{len(missing)} of {num_weights} weights are not in it, the first is {missing[0]}")
        if other := sorted(found["mismatched_keys"], key=str):
            raise ValueError(f"{len(other)} of {num_weights} weights have another size, the first is {other[0]}")
    except Exception as error:  # the hub's client, safetensors, pickle and the library each raise their own
        raise cannot_build(repr(place), config.weights, first_words(error)) from error
    return cast(nn.Module, model)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's bars and its report of missing weights; a download has bars of its own."""
    from transformers.utils import logging

    settings = cast(Any, logging)
    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()


def _fit_positions(trunk: nn.Module, image_size: int) -> None:
    """Bring learned positions to this image size once, as the library's own interpolation does in every forward."""
    embeddings = cast(Any, trunk).embeddings
    settings = cast(Any, trunk).config
    places = getattr(embeddings, "position_embeddings", None)
    cells = image_size // settings.patch_size
    if places is not None and cells and places.shape[1] != cells**2 + 1:
        like = places.new_zeros(1, cells**2 + 1, places.shape[2])
        with torch.no_grad():
            fitted = embeddings.interpolate_pos_encoding(like, cells * settings.patch_size, cells * settings.patch_size)
        embeddings.position_embeddings = nn.Parameter(fitted.clone())
    settings.image_size = image_size


def _statistics(place: str, model_type: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that images are given in: what stands beside the weights, else the family's usual ones."""
    usual = (_HALF, _HALF) if model_type == "vit" else (MEAN, STD)
    if not place:
        return usual
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(place, _PREPROCESSOR)
        record = json.loads(Path(str(path)).read_text(encoding="utf-8"))
    except OSError:  # there is none
        return usual
    except ValueError as error:
        raise BadConfig(f"backbone.weights: {_PREPROCESSOR} of {place} is no JSON: {first_words(error)}.") from error
    if not record.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return tuple(record.get("image_mean", usual[0])), tuple(record.get("image_std", usual[1]))
