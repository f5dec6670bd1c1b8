"""The whole configuration: each room's own section, composed; presets, files and single overrides on top.

What several steps share (seed, constraint, store, channel) stands once at the top and flows into every section that
does not say otherwise itself.
"""

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stage1.bundle.channel import SignatureRule
from stage1.bundle.config import ChannelConfig, ExportConfig, SignedConfig
from stage1.data import SplitConfig
from stage1.errors import BadConfig
from stage1.evaluation import EvaluateConfig
from stage1.model import PredictConfig
from stage1.policy import CalibrateConfig, Constraint
from stage1.promotion import GateConfig
from stage1.tracking import TrackingConfig
from stage1.training import PretrainConfig, TrainConfig

PRESETS = ("demo", "full")

# Top-level field -> the sections, and the fields there, that take it where they are not set themselves.
_SHARED: dict[str, tuple[tuple[str, ...], ...]] = {
    "seed": (("pretrain", "seed"), ("train", "seed"), ("calibrate", "scrc", "seed"), ("evaluate", "seed")),
    "constraint": (("calibrate", "constraint"), ("gate", "constraint")),
    "store": (("predict", "store"), ("gate", "store"), ("export", "store"), ("promote", "store")),
    "channel": (
        ("predict", "channel"), ("gate", "channel"), ("report", "channel"), ("export", "channel"),
        ("promote", "channel"),
    ),
    "signature": (("export", "signature"), ("promote", "signature")),
    "tracking": (("pretrain", "tracking"), ("train", "tracking"), ("report", "tracking"), ("promote", "tracking")),
    "checkpoints": (("pretrain", "checkpoint", "uri"), ("train", "checkpoint", "uri")),
    "shards": (("pretrain", "shards"), ("train", "shards"), ("predict", "shards")),
}  # fmt: skip


class GateStepConfig(GateConfig, ChannelConfig):
    """The gate's limits, and the channel whose looks at one val_test are counted."""


class ReportConfig(BaseModel):
    """What the report is called and where the run is recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: str = Field("demo", description="Channel that the run is for; stands in the report's title.")
    tracking: TrackingConfig = TrackingConfig()


class PromoteConfig(SignedConfig):
    """Where a bundle is published, whose signature it needs, and where that is recorded."""

    public_key: str = Field(
        "",
        description="PEM file (or the PEM itself) of the key that must have signed the bundle; '' takes "
        "$STAGE1_PUBLIC_KEY, and where that is not set nobody's signature is checked.",
    )
    tracking: TrackingConfig = TrackingConfig()


class Config(BaseModel):
    """Everything that can be set, with its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, description="Of everything random in the run.")
    constraint: Constraint = Constraint()
    store: str = Field("stage1-store", min_length=1, description="Object store of bundles and channels.")
    channel: str = Field("demo", min_length=1, description="Channel that a promotion moves.")
    signature: SignatureRule = Field(
        "unsigned-allowed", description="required: bundles are signed, and the channel takes no others from then on."
    )
    tracking: TrackingConfig = TrackingConfig()
    checkpoints: str = Field(
        "", description="Folder or s3://bucket/prefix that gets checkpoints too, for another machine to go on from."
    )
    shards: str = Field("", description="Where `stage1 data shard` packed the manifest; empty reads single images.")
    split: SplitConfig = SplitConfig()
    pretrain: PretrainConfig = PretrainConfig()
    train: TrainConfig = TrainConfig()
    predict: PredictConfig = PredictConfig()
    calibrate: CalibrateConfig = CalibrateConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    gate: GateStepConfig = GateStepConfig()
    report: ReportConfig = ReportConfig()
    export: ExportConfig = ExportConfig()
    promote: PromoteConfig = PromoteConfig()

    @model_validator(mode="before")
    @classmethod
    def _share(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        shared: dict[str, Any] = json.loads(json.dumps(data))
        for name, places in _SHARED.items():
            if name in shared:
                for place in places:
                    _set(shared, place, shared[name], overwrite=False)
        constraint = shared.get("constraint")
        if isinstance(constraint, dict):
            for field, section in (("max_fnr", "split"), ("confidence", "split"), ("confidence", "evaluate")):
                if field in constraint:
                    _set(shared, (section, field), constraint[field], overwrite=False)
        return shared

    @model_validator(mode="after")
    def _adapter_has_blocks(self) -> Self:
        """Said before hours of pre-training; whether a timm network has blocks is known when it is built."""
        if self.train.adapter.kind != "none" and self.pretrain.backbone.kind == "convnet":
            raise ValueError(
                f"train.adapter.kind {self.train.adapter.kind!r} needs transformer blocks and pretrain.backbone.kind "
                "is 'convnet', which takes adapter.kind 'none' only"
            )
        return self

    @classmethod
    def compose(cls, preset: str = "", text: str = "", overrides: Sequence[str] = ()) -> Self:
        """Compose a configuration: defaults, then the preset, then YAML `text`, then overrides `a.b=value`.

        Raises:
            BadConfig: Unknown preset or field, wrong type, impossible value; names the field and what is allowed.
        """
        data = _merge(_preset(preset), _yaml(text, "the configuration file"))
        for override in overrides:
            path, equals, value = override.partition("=")
            if not equals or not path.strip():
                raise BadConfig(f"override {override!r}: needed section.field=value, for example train.batch_size=32.")
            _set(data, tuple(path.strip().split(".")), _scalar(value), overwrite=True)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise BadConfig(_explain(error)) from error

    def to_yaml(self) -> str:
        """Everything that is set, as YAML that `compose` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _preset(name: str) -> dict[str, Any]:
    if not name:
        return {}
    if name not in PRESETS:
        raise BadConfig(f"preset {name!r} does not exist; there are: {', '.join(PRESETS)}.")
    return _yaml(resources.files("stage1.config").joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8"), name)


def _yaml(text: str, what: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text) if text.strip() else {}
    except yaml.YAMLError as error:
        raise BadConfig(f"{what} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadConfig(f"{what} must be a mapping of sections such as train: and gate:, got {type(data).__name__}.")
    return data


def _scalar(text: str) -> Any:
    try:
        return yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError:
        return text


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _set(data: dict[str, Any], path: tuple[str, ...], value: Any, *, overwrite: bool) -> None:
    *parents, last = path
    for parent in parents:
        inner = data.setdefault(parent, {})
        if not isinstance(inner, dict):
            if overwrite:
                raise BadConfig(f"{'.'.join(path)}: {parent} is {inner!r} and has no fields.")
            return
        data = inner
    if isinstance(value, dict) and isinstance(data.get(last), dict):
        data[last] = _merge(value, data[last]) if not overwrite else _merge(data[last], value)
    elif overwrite or last not in data:
        data[last] = value


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "configuration"
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: there is no such field{_fields_beside(item['loc'])}.")
        elif item["type"] == "value_error" and isinstance(item.get("input"), dict):  # its message names the fields
            lines.append(f"{path}: {item['msg'].removeprefix('Value error, ')}.")
        else:
            lines.append(f"{path}: {item['msg']}, got {item.get('input')!r}.")
    return "\n".join(lines)


def _fields_beside(location: tuple[int | str, ...]) -> str:
    model: Any = Config
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    fields = getattr(model, "model_fields", None)
    return f"; allowed: {', '.join(fields)}" if fields else ""
