"""A finished run in MLflow: parameters, metrics by step, tags, artifacts. Found again by its key, written once."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stage1.tracking.record import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEY_TAG = "stage1.key"
_MAX_PARAM = 500
_BATCH = 100


def recorded_run(client: "MlflowClient", experiment: str, key: str) -> str:
    """Return the id of the finished run with this key, or ""."""
    found = client.search_runs([experiment], f"tags.`{_KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'")
    return str(found[0].info.run_id) if found else ""


def write_run(client: "MlflowClient", experiment: str, record: RunRecord) -> str:
    """Write the run unless it is recorded, and return its id.

    One that could not be written whole is marked as failed and does not count as recorded.
    """
    if found := recorded_run(client, experiment, record.key):
        return found
    run_id: str = client.create_run(experiment, run_name=record.name, tags={_KEY_TAG: record.key}).info.run_id
    try:
        _fill(client, run_id, record)
        client.set_terminated(run_id)
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    return run_id


def _fill(client: "MlflowClient", run_id: str, record: RunRecord) -> None:
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, step)
        for name, values in record.curves.items()
        for step, value in enumerate(values, 1)
        if value is not None
    ]
    params = [Param(name, str(value)[:_MAX_PARAM]) for name, value in record.params.items()]
    for start in range(0, max(len(metrics), len(params)), _BATCH):
        client.log_batch(run_id, metrics[start : start + _BATCH], params[start : start + _BATCH])
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in record.tags.items()])
    for path in record.artifacts:
        client.log_artifact(run_id, str(path))
