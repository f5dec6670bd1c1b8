"""What a report tells: the JSON files of the steps, as they were read, and two kinds of pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Story:
    """Everything that one run of the pipeline left behind, ready to be told.

    Any value inside the dictionaries may be missing or None: the report then says 'n/a' and why.

    Attributes:
        split: split.json.
        metrics: metrics.json.
        curves: curves.json.
        decision: decision.json.
        policies: Policy name -> its JSON (thresholds.json, gateparams.json, scrcparams.json).
        history: history.json of train, or None.
        pretrain: history.json of pretrain, or None when nothing was pre-trained.
        reconstructions_png: reconstructions.png of pretrain (PNG or JPEG bytes), or None.
        agreement: agreement.json (ONNX against torch), or None.
        thumbnails: Image id -> JPEG bytes, for the worst errors.
        provenance: Config, seed, code version, library versions, data digest, run id: any JSON object.
        title: The page's title, such as the channel's name.
    """

    split: Mapping[str, Any]
    metrics: Mapping[str, Any]
    curves: Mapping[str, Any]
    decision: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]]
    history: Mapping[str, Any] | None = None
    pretrain: Mapping[str, Any] | None = None
    reconstructions_png: bytes | None = None
    agreement: Mapping[str, Any] | None = None
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = "stage1 evaluation"
