"""Runs and promoted models in MLflow.

MLflow is a record, never a gate: when it cannot be reached, that is said and the pipeline goes on. Every record is
found again by a tag, so doing a step twice records it once, and running a step again makes a record that was missed.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stage1 import events
from stage1.tracking.config import TrackingConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KEY_TAG = "stage1.key"
_MAX_PARAM = 500


@dataclass(frozen=True)
class RunRecord:
    """What is worth recording of one run.

    Attributes:
        key: Identifies the run: the same key is recorded once.
        curves: Metric name to its values by step (1, 2, ...); single numbers have one step.
    """

    key: str
    name: str
    params: Mapping[str, Any]
    curves: Mapping[str, Sequence[float]]
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()


def record_run(config: TrackingConfig, record: RunRecord) -> str:
    """Record a finished run and return its MLflow id; "" where recording is off or failed."""
    if not config.uri:
        return ""
    with _tolerated("run was not recorded") as outcome:
        client = _client(config)
        experiment = _experiment(client, config)
        outcome["id"] = _recorded(client, experiment, record.key) or _write(client, experiment, record)
    return outcome["id"]


def register_model(
    config: TrackingConfig, *, source: str, digest: str, alias: str, run_key: str, tags: Mapping[str, str]
) -> str:
    """Make a promoted bundle a version of the registered model and move `alias` to it; returns the version or "".

    `run_key` is the key under which `record_run` recorded the run that made it.
    """
    if not config.uri:
        return ""
    with _tolerated("promotion was not registered") as outcome:
        client = _client(config)
        _unless_it_exists(lambda: client.create_registered_model(config.model_name))
        versions = client.search_model_versions(f"name = '{config.model_name}' and tags.digest = '{digest}'")
        version = versions[0].version if versions else _create_version(
            client, config, source=source, run_key=run_key, tags={**tags, "digest": digest}
        )  # fmt: skip
        client.set_registered_model_alias(config.model_name, alias, version)
        outcome["id"] = str(version)
    return outcome["id"]


def _create_version(
    client: "MlflowClient", config: TrackingConfig, *, source: str, run_key: str, tags: Mapping[str, str]
) -> str:
    run_id = _recorded(client, _experiment(client, config), run_key)
    created = client.create_model_version(
        config.model_name, source, run_id or None, tags=dict(tags), await_creation_for=0
    )
    return str(created.version)


def _client(config: TrackingConfig) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # after the import, which sets it too
    return MlflowClient(config.uri, config.uri)


def _experiment(client: "MlflowClient", config: TrackingConfig) -> str:
    """The id of the experiment, made where it is missing; a database keeps artifacts in a folder beside it."""
    if client.get_experiment_by_name(config.experiment) is None:
        location = None
        if config.uri.startswith("sqlite:///"):
            location = (Path(config.uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
        _unless_it_exists(lambda: client.create_experiment(config.experiment, artifact_location=location))
    found: Any = client.get_experiment_by_name(config.experiment)
    return str(found.experiment_id)


def _unless_it_exists(create: Callable[[], Any]) -> None:
    """Create something that another run may have created before or meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        create()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _recorded(client: "MlflowClient", experiment: str, key: str) -> str:
    """The id of the finished run with this key, or ""."""
    found = client.search_runs([experiment], f"tags.`{_KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'")
    return str(found[0].info.run_id) if found else ""


def _write(client: "MlflowClient", experiment: str, record: RunRecord) -> str:
    """Write a run; one that could not be written whole is marked as failed and does not count as recorded."""
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
    for start in range(0, max(len(metrics), len(params)), 100):
        client.log_batch(run_id, metrics[start : start + 100], params[start : start + 100])
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in record.tags.items()])
    for path in record.artifacts:
        client.log_artifact(run_id, str(path))


@contextmanager
def _tolerated(what: str) -> Iterator[dict[str, str]]:
    """Whatever MLflow raises is said and does not stop the step; its libraries' warnings are not the user's."""
    outcome = {"id": ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield outcome
    except Exception as error:  # noqa: BLE001  its store raises sqlalchemy, requests, OS and its own errors
        events.note(f"MLflow: {what} ({type(error).__name__}: {str(error)[:200]}); run the step again to record it")
