"""Reaching MLflow: within seconds or not at all, quietly, and without a secret in what is said."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stage1.errors import Stage1Error
from stage1.tracking.config import TrackingConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_IN_ADDRESS = re.compile(r"//[^/\s@]*:[^/\s@]*@")


class Unreachable(Stage1Error):
    """MLflow did not take a record, which is kept; the message has no secret in it."""


@contextmanager
def connected(config: TrackingConfig) -> Iterator[tuple["MlflowClient", str]]:
    """Yield a client and the id of the experiment, which is made where it is missing.

    A server that does not answer is found out by one short question; only then come requests with time to wait and to
    try again. MLflow's own variables, where they are set, are obeyed instead.

    Raises:
        Unreachable: For whatever goes wrong here or in the block.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT="5", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):
                client = _client(config)
                client.get_experiment_by_name(config.experiment)
            before = os.environ.get("MLFLOW_TRACKING_URI")
            os.environ["MLFLOW_TRACKING_URI"] = config.uri  # parts of the client ask no one else
            try:
                with _environment(MLFLOW_HTTP_REQUEST_TIMEOUT="30", MLFLOW_HTTP_REQUEST_MAX_RETRIES="2"):
                    yield client, _experiment(client, config)
            finally:
                os.environ.pop("MLFLOW_TRACKING_URI")
                if before is not None:
                    os.environ["MLFLOW_TRACKING_URI"] = before
    except Exception as error:  # noqa: BLE001 - its store raises sqlalchemy, requests, OS and its own errors
        raise Unreachable(f"{type(error).__name__}: {_without_secrets(str(error))[:300]}") from None


def unless_it_exists(create: Any, *arguments: Any, **options: Any) -> None:
    """Create something that another run may have created before or meanwhile."""
    from mlflow.exceptions import MlflowException

    try:
        create(*arguments, **options)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _client(config: TrackingConfig) -> "MlflowClient":
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # after the import, which sets it too
    return MlflowClient(config.uri, config.uri)


def _experiment(client: "MlflowClient", config: TrackingConfig) -> str:
    """A database keeps artifacts in a folder beside it."""
    found: Any = client.get_experiment_by_name(config.experiment)
    if found is None:
        location = None
        if config.uri.startswith("sqlite:///"):
            from pathlib import Path

            location = (Path(config.uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
        unless_it_exists(client.create_experiment, config.experiment, artifact_location=location)
        found = client.get_experiment_by_name(config.experiment)
    return str(found.experiment_id)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set what is not set, for a while; MLflow reads these at each request."""
    own = {
        name: value
        for name, value in {
            **values,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }.items()
        if name not in os.environ
    }
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def _without_secrets(text: str) -> str:
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return _IN_ADDRESS.sub("//***@", text)
