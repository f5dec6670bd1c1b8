"""Backbones and models as folders: weights in safetensors, everything else in JSON; no pickles anywhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from stage1.errors import BadArtifact
from stage1.model.backbone import Backbone, build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig

_BACKBONE = "backbone"
_MODEL = "model"


@dataclass(frozen=True)
class Description:
    """What stands beside the weights.

    Attributes:
        backbone: How the backbone was built.
        image_size: Side of the square images, in pixels.
        facts: What else belongs to it, as JSON: preprocessing, class names.
    """

    backbone: BackboneConfig
    image_size: int
    facts: Mapping[str, Any]


def save_backbone(folder: Path, backbone: Backbone, description: Description) -> None:
    """Write backbone.safetensors and backbone.json."""
    _save(folder, _BACKBONE, cast(nn.Module, backbone), backbone, description)


def load_backbone(folder: Path) -> tuple[Backbone, Description]:
    """Read what `save_backbone` wrote; weights come from the folder alone, never from a hub.

    Raises:
        BadArtifact: A file is missing, or does not fit the other.
    """
    description = _read_description(folder, _BACKBONE)
    backbone = _build(description)
    _load_weights(cast(nn.Module, backbone), folder / f"{_BACKBONE}.safetensors")
    return backbone, description


def save_model(folder: Path, model: SelectiveClassifier, description: Description) -> None:
    """Write model.safetensors and model.json."""
    _save(folder, _MODEL, model, cast(Backbone, model.backbone), description)


def load_model(folder: Path) -> tuple[SelectiveClassifier, Description]:
    """Read what `save_model` wrote, in evaluation mode; raises as `load_backbone`."""
    description = _read_description(folder, _MODEL)
    model = SelectiveClassifier(_build(description))
    _load_weights(model, folder / f"{_MODEL}.safetensors")
    return model.eval(), description


def _build(description: Description) -> Backbone:
    return build_backbone(description.backbone.model_copy(update={"weights": ""}), description.image_size)


def _save(folder: Path, kind: str, module: nn.Module, backbone: Backbone, description: Description) -> None:
    config = description.backbone.model_copy(update={"architecture": backbone.architecture})
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    # Written by Python, so that a full disk is the OSError that the step turns into advice.
    (folder / f"{kind}.safetensors").write_bytes(save(state))
    record = {
        **description.facts,
        "schema": _schema(kind),
        "backbone": config.model_dump(mode="json"),
        "image_size": description.image_size,
    }
    text = json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / f"{kind}.json").write_text(text, encoding="utf-8")


def _schema(kind: str) -> str:
    return f"stage1/{kind}/v1"


def _read_description(folder: Path, kind: str) -> Description:
    path = folder / f"{kind}.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("schema") != _schema(kind):
            raise ValueError(f"it is not of schema {_schema(kind)}")
        config = BackboneConfig.model_validate(record.pop("backbone"))
        return Description(config, int(record.pop("image_size")), record)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadArtifact(f"{folder} has no {kind}.json. Give the folder that the {kind} step wrote.") from error
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BadArtifact(f"{path} does not describe a {kind}: {error}. Run the step that wrote it again.") from error


def _load_weights(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise BadArtifact(f"{path} is missing. Run the step that wrote {path.parent} again.") from error
    except (SafetensorError, RuntimeError) as error:
        raise BadArtifact(
            f"{path} does not fit the network that {path.with_suffix('.json').name} beside it describes: {error}. "
            "It was truncated or swapped; run the step that wrote it again."
        ) from error
