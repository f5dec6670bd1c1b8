"""MLflow is a record, never a gate: what it does not take is said and kept, and the pipeline goes on.

`stage1 track FOLDER` sends what was kept.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from stage1 import events
from stage1.tracking.client import Unreachable, connected
from stage1.tracking.config import TrackingConfig
from stage1.tracking.record import (
    FOLDER,
    PROMOTION,
    RUN,
    Promotion,
    RunRecord,
    keep_promotion,
    keep_run,
    read_kept,
)
from stage1.tracking.registry import register
from stage1.tracking.runs import write_run

_LOG = logging.getLogger("stage1.tracking")


def record_run(config: TrackingConfig, record: RunRecord, folder: Path) -> str:
    """Keep the record of a finished run in `folder`, send it, and return its MLflow id.

    Returns "" where recording is off (nothing is kept then) or MLflow did not take it.
    """
    config = config.resolved()
    return _tried(keep_run(config, record, folder), "run was not recorded") if config.uri else ""


def register_model(config: TrackingConfig, promotion: Promotion, folder: Path) -> str:
    """Keep a promotion in `folder`, make it a version of the registered model, and return the version; "" as above."""
    config = config.resolved()
    return _tried(keep_promotion(config, promotion, folder), "promotion was not registered") if config.uri else ""


def send_kept(path: Path, uri: str = "") -> str:
    """Send one kept record, unless MLflow has it, and return its id or version.

    Args:
        path: mlflow/run.json or mlflow/promotion.json of a step's folder.
        uri: Where to; "" takes what the run was configured with.

    Raises:
        BadArtifact: The file is no kept record.
        BadConfig: The address has a password in it.
        Unreachable: MLflow did not take it.
    """
    config, kept = read_kept(path)
    return send(config.at(uri) if uri else config, kept)


def send(config: TrackingConfig, record: RunRecord | Promotion) -> str:
    """Send a record now, unless MLflow has it, and return its id or version; nothing is kept.

    Raises:
        Unreachable: MLflow did not take it.
    """
    with connected(config) as (client, experiment):
        if isinstance(record, Promotion):
            return register(client, experiment, config.model_name, record)
        return write_run(client, experiment, record)


def find_kept(folder: Path) -> Iterator[Path]:
    """Yield the kept records below a folder, runs before promotions, which refer to them."""
    for name in (RUN, PROMOTION):
        yield from sorted(folder.rglob(f"{FOLDER}/{name}"))


def _tried(path: Path, what: str) -> str:
    try:
        return send_kept(path)
    except Unreachable as error:
        message = f"MLflow: {what} ({error}); it is kept: stage1 track FOLDER sends it"
        events.note(message)
        if not os.environ.get(events.VARIABLE):
            _LOG.warning(message)
        return ""
