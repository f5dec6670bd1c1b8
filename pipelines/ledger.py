"""The ledger of retraining: one ConfigMap for every set of training values, made once and kept.

Its name holds the hash of the values, so that the API server itself lets only one submitter make it; every change
goes through the resource version, so that of two writers one is told to read again.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import urllib3
from kubernetes import client
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage1.errors import BadInput, NoAnswer

LABEL = "stage1.dev/retrain"
TIMEOUT_S = 30
_KEY = "ledger.json"

End = Literal["", "promoted", "refused", "failed", "cancelled", "interrupted"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(_Section):
    """What the chart asks for: the values of one training.

    Attributes:
        name: Of the model; Helm's release.
        hash: Of the training values, as the chart computes it.
        arguments: Pipeline parameters.
        experiment: KFP's experiment of the runs.
        account: Service account of the runs' pods; empty for KFP's default.
        max_attempts: Runs of these values in all, where infrastructure ended the ones before.
        superseded: What happens to unfinished runs of older values.
    """

    name: Name
    hash: str = Field(pattern=r"^[0-9a-f]{8,64}$")
    arguments: dict[str, Any]
    experiment: str = Field(min_length=1)
    account: str = ""
    max_attempts: int = Field(3, ge=1, le=10)
    superseded: Literal["let-finish", "cancel"] = "let-finish"

    @property
    def config_map(self) -> str:
        """Name of the ledger entry."""
        return f"stage1-retrain-{self.name}-{self.hash}"


class Attempt(_Section):
    """One run of the values.

    number: from 1; holder, since: who submits it, since when (Unix seconds); run: KFP's id, empty until submitted;
    end: empty while it goes on; message: why it ended.
    """

    number: int = Field(ge=1)
    holder: str
    since: float
    run: str = ""
    end: End = ""
    message: str = ""


class Entry(_Section):
    """One ConfigMap's content."""

    schema_id: Literal["stage1/retrain-ledger/v1"] = Field("stage1/retrain-ledger/v1", alias="schema")
    request: Request
    attempts: tuple[Attempt, ...] = Field(min_length=1)

    @property
    def last(self) -> Attempt:
        """The newest attempt."""
        return self.attempts[-1]

    @property
    def run_name(self) -> str:
        """Display name of the newest attempt's run."""
        return f"{self.request.name}-{self.request.hash}-{self.last.number}"

    def with_last(self, **changed: Any) -> "Entry":
        """Return the entry with its newest attempt changed."""
        return self.model_copy(update={"attempts": (*self.attempts[:-1], self.last.model_copy(update=changed))})

    def with_next(self, holder: str, now: float) -> "Entry":
        """Return the entry with one more attempt."""
        following = Attempt(number=self.last.number + 1, holder=holder, since=now)
        return self.model_copy(update={"attempts": (*self.attempts, following)})


@dataclass(frozen=True)
class Read:
    """An entry and the version it had."""

    entry: Entry
    version: str
    uid: str


class Ledger:
    """The entries in one namespace.

    Args:
        core: The core API of a Kubernetes client.
        namespace: Where the ConfigMaps are.
    """

    def __init__(self, core: client.CoreV1Api, namespace: str) -> None:
        self.core, self.namespace = core, namespace

    def create(self, entry: Entry) -> bool:
        """Make the entry; False where it is there already."""
        with faults("make a ledger entry"):
            try:
                self.core.create_namespaced_config_map(self.namespace, _body(entry), _request_timeout=TIMEOUT_S)
            except client.ApiException as error:
                if error.status == 409:
                    return False
                raise
        return True

    def read(self, request: Request) -> Read | None:
        """Return the entry of these values, None where there is none.

        Raises:
            BadInput: The ConfigMap is there and is not a ledger entry.
        """
        with faults("read a ledger entry"):
            try:
                found = self.core.read_namespaced_config_map(
                    request.config_map, self.namespace, _request_timeout=TIMEOUT_S
                )
            except client.ApiException as error:
                if error.status == 404:
                    return None
                raise
        return _parsed(found)

    def replace(self, read: Read, entry: Entry) -> bool:
        """Write a changed entry; False where somebody else wrote since `read`."""
        with faults("change a ledger entry"):
            try:
                self.core.replace_namespaced_config_map(
                    entry.request.config_map,
                    self.namespace,
                    _body(entry, read.version),
                    _request_timeout=TIMEOUT_S,
                )
            except client.ApiException as error:
                if error.status == 409:
                    return False
                raise
        return True

    def entries(self, name: str) -> list[Read]:
        """Return every entry of a model."""
        with faults("list the ledger"):
            found = self.core.list_namespaced_config_map(
                self.namespace, label_selector=f"{LABEL}={name}", _request_timeout=TIMEOUT_S
            )
        return [_parsed(item) for item in found.items]


def _body(entry: Entry, version: str | None = None) -> client.V1ConfigMap:
    request = entry.request
    labels = {LABEL: request.name, "app.kubernetes.io/name": "stage1", "app.kubernetes.io/component": "ledger"}
    metadata = client.V1ObjectMeta(name=request.config_map, labels=labels, resource_version=version)
    return client.V1ConfigMap(metadata=metadata, data={_KEY: entry.model_dump_json(by_alias=True, indent=1)})


def _parsed(found: client.V1ConfigMap) -> Read:
    try:
        entry = Entry.model_validate_json((found.data or {})[_KEY])
    except (KeyError, ValidationError) as error:
        raise BadInput(
            f"ConfigMap {found.metadata.name} is no ledger entry of stage1: {error}. Remove it; runs are found "
            "again by their names."
        ) from error
    return Read(entry, found.metadata.resource_version, found.metadata.uid)


@contextmanager
def faults(doing: str) -> Iterator[None]:
    """Say what the Kubernetes API did not do, and whether asking again may help."""
    try:
        yield
    except client.ApiException as error:
        said = _message(error.body) or error.reason
        if error.status == 403:
            raise BadInput(f"The Kubernetes API does not let this account {doing}: {said}") from error
        raise NoAnswer(f"The Kubernetes API did not {doing}: {error.status} {said}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise NoAnswer(f"The Kubernetes API could not be reached to {doing}: {error}") from error


def _message(body: Any) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except (TypeError, ValueError, AttributeError):
        return ""
