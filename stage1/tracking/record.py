"""What goes to MLflow, as it is kept in a step's folder: sent at once if possible, and again whenever asked.

    <step's folder>/mlflow/run.json         a run: parameters, curves, tags; its artifacts beside it
    <step's folder>/mlflow/promotion.json   a promotion: a version of the registered model and its alias

A kept record is never changed and says nothing of whether it was sent: MLflow is asked for its key. So nothing that a
later step has checked is touched, and sending twice sends once.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stage1.errors import BadArtifact
from stage1.tracking.config import TrackingConfig

FOLDER = "mlflow"
RUN, PROMOTION = "run.json", "promotion.json"
_SCHEMAS = {RUN: "stage1/mlflow-run/v1", PROMOTION: "stage1/mlflow-promotion/v1"}


@dataclass(frozen=True)
class RunRecord:
    """What is worth recording of one run.

    Attributes:
        key: Identifies the run: the same key is recorded once.
        curves: Metric name to its values by step (1, 2, ...), None where there is no number; single numbers have one
            step.
    """

    key: str
    name: str
    params: Mapping[str, Any]
    curves: Mapping[str, Sequence[float | None]]
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()


@dataclass(frozen=True)
class Promotion:
    """A bundle that a channel points at now.

    Attributes:
        source: Address of the bundle in its store.
        digest: Its identity: the same digest is one version.
        alias: The channel's name.
        sequence: The channel's: an alias never moves back to what had a lower one.
        run_key: Under which the run that made it is recorded.
        requirement: What a process that loads it must install, such as stage1==0.1.0.
        tags: Of the version.
    """

    source: str
    digest: str
    alias: str
    sequence: int
    run_key: str
    requirement: str
    tags: Mapping[str, str]


def keep_run(config: TrackingConfig, record: RunRecord, folder: Path) -> Path:
    """Write the record below `folder`, with copies of artifacts that are not in it; return its file."""
    place = folder / FOLDER
    place.mkdir()
    names = []
    for path in record.artifacts:
        if path.parent == folder:
            names.append(f"../{path.name}")
        else:
            shutil.copyfile(path, place / path.name)
            names.append(path.name)
    curves = {name: [_finite(value) for value in values] for name, values in record.curves.items()}
    return _write(place / RUN, config, {**asdict(record), "curves": curves, "artifacts": names})


def keep_promotion(config: TrackingConfig, promotion: Promotion, folder: Path) -> Path:
    """Write the promotion below `folder`; return its file."""
    (folder / FOLDER).mkdir()
    return _write(folder / FOLDER / PROMOTION, config, asdict(promotion))


def read_kept(path: Path) -> tuple[TrackingConfig, RunRecord | Promotion]:
    """Return what keep_run or keep_promotion wrote.

    Raises:
        BadArtifact: The file is none of these.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != _SCHEMAS[path.name]:
            raise ValueError(f"schema {document['schema']!r}")
        config = TrackingConfig.model_validate(document["tracking"])
        fields = document["record"]
        if path.name == PROMOTION:
            return config, Promotion(**fields)
        artifacts = [path.parent / name for name in fields["artifacts"]]
        return config, RunRecord(**{**fields, "artifacts": artifacts})
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadArtifact(f"{path} is not what a step kept for MLflow: {error}. Run the step again.") from error


def _write(path: Path, config: TrackingConfig, record: dict[str, Any]) -> Path:
    document = {"schema": _SCHEMAS[path.name], "tracking": config.model_dump(mode="json"), "record": record}
    text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
