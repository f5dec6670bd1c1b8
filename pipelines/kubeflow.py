"""A Kubeflow Pipelines server: submit, find, look at and cancel runs.

Speaks KFP's v2beta1 API through its own generated client with a time limit on every request, and needs neither torch
nor stage1's steps. CreateRun is not idempotent: whoever needs one run looks for its name first (`named`).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kfp_server_api as kfp
import urllib3
import yaml

from stage1.errors import BadInput, NoAnswer, NotFound

Outcome = Literal["running", "promoted", "refused", "failed", "cancelled"]

TIMEOUT_S = 30
_PAGE = 100
_TYPES: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "STRING": ("text", str),
    "NUMBER_INTEGER": ("a whole number", int),
    "NUMBER_DOUBLE": ("a number", (int, float)),
    "BOOLEAN": ("true or false", bool),
    "STRUCT": ("a JSON object", dict),
    "LIST": ("a JSON list", list),
}
_ENDS = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}


@dataclass(frozen=True)
class Run:
    """One run as the server tells it.

    run_id: the server's id; name: display name; state: KFP's word, such as RUNNING; outcome: what it means here;
    message: the error of a run that failed, empty otherwise; seconds: from its creation to its end, None before.
    """

    run_id: str
    name: str
    state: str
    outcome: Outcome
    message: str
    seconds: float | None = None


class Kubeflow:
    """A KFP API server.

    Args:
        endpoint: http(s)://host[:port] of the API server or of the UI before it.
        token_file: File with a bearer token, such as a projected one with audience pipelines.kubeflow.org; read anew
            for every Kubeflow, empty for none.
        namespace: Of the user, in multi-user mode; empty in single-user mode.
    """

    def __init__(self, endpoint: str, *, token_file: str = "", namespace: str = "") -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise BadInput(f"Need the address of a KFP API server as http(s)://host[:port], got {endpoint!r}.")
        self.endpoint, self.namespace = endpoint.rstrip("/"), namespace
        settings = kfp.Configuration(host=self.endpoint)
        settings.retries = urllib3.Retry(connect=2, read=0, redirect=3, other=0, backoff_factor=0.2)
        client = kfp.ApiClient(settings)
        if token_file:
            client.set_default_header("Authorization", f"Bearer {_token(token_file)}")
        self._runs, self._experiments = kfp.RunServiceApi(client), kfp.ExperimentServiceApi(client)
        self._health = kfp.HealthzServiceApi(client)

    def submit(
        self, package: Mapping[str, Any], name: str, arguments: Mapping[str, Any], *, experiment: str, account: str = ""
    ) -> str:
        """Start a run and return its id.

        Args:
            package: What `load_package` returned.
            name: Display name of the run.
            arguments: Pipeline parameters by name.
            experiment: Name of the experiment; made if there is none.
            account: Service account of the run's pods; empty for the server's default.

        Raises:
            NoAnswer: No answer came in time; the run may exist all the same.
        """
        run = kfp.V2beta1Run(
            experiment_id=self._experiment(experiment),
            display_name=name,
            pipeline_spec=dict(package),
            runtime_config=kfp.V2beta1RuntimeConfig(parameters=dict(arguments)),
            service_account=account or None,
        )
        with self._faults(f"start run {name!r}"):
            return str(self._runs.run_service_create_run(run, _request_timeout=TIMEOUT_S).run_id)

    def named(self, name: str, *, experiment: str) -> list[str]:
        """Return the ids of the experiment's runs with this display name, the oldest first."""
        found = []
        with self._faults(f"look for run {name!r}"):
            token = ""
            while True:
                page = self._runs.run_service_list_runs(
                    experiment_id=self._experiment(experiment),
                    page_token=token,
                    page_size=_PAGE,
                    sort_by="created_at asc",
                    filter=_equals("display_name", name),
                    _request_timeout=TIMEOUT_S,
                )
                found += [str(run.run_id) for run in page.runs or [] if run.display_name == name]
                token = page.next_page_token or ""
                if not token:
                    return found

    def run(self, run_id: str) -> Run:
        """Return how a run stands.

        Raises:
            NotFound: The server knows no such run.
        """
        with self._faults(f"look at run {run_id}"):
            found = self._runs.run_service_get_run(run_id, _request_timeout=TIMEOUT_S)
        message = found.error.message if found.error and found.error.message else ""
        state = str(found.state or "PENDING")
        ended = found.created_at and found.finished_at and state in _ENDS
        seconds = (found.finished_at - found.created_at).total_seconds() if ended else None
        return Run(run_id, str(found.display_name), state, _outcome(state, _tasks(found)), message, seconds)

    def multi_user(self) -> bool:
        """Say whether the server answers, and whether it keeps users apart."""
        with self._faults("say how it is"):
            return bool(self._health.healthz_service_get_healthz(_request_timeout=TIMEOUT_S).multi_user)

    def cancel(self, run_id: str) -> None:
        """Ask the server to end a run; a run that has ended stays as it is."""
        with self._faults(f"cancel run {run_id}"):
            self._runs.run_service_terminate_run(run_id, _request_timeout=TIMEOUT_S)

    def _experiment(self, name: str) -> str:
        """Return the experiment's id, made if it is missing; a server that knows it already is asked again."""
        with self._faults(f"find experiment {name!r}"):
            for _ in range(2):
                page = self._experiments.experiment_service_list_experiments(
                    page_size=_PAGE,
                    filter=_equals("display_name", name),
                    namespace=self.namespace,
                    _request_timeout=TIMEOUT_S,
                )
                for found in page.experiments or []:
                    if found.display_name == name:
                        return str(found.experiment_id)
                wanted = kfp.V2beta1Experiment(display_name=name, namespace=self.namespace or None)
                try:
                    made = self._experiments.experiment_service_create_experiment(wanted, _request_timeout=TIMEOUT_S)
                    return str(made.experiment_id)
                except kfp.ApiException as error:
                    if error.status != 409:
                        raise
        raise NoAnswer(f"The KFP server at {self.endpoint} neither finds experiment {name!r} nor lets it be made.")

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except kfp.ApiException as error:
            where = f"The KFP server at {self.endpoint} did not {doing}: {error.status} {error.reason}"
            if error.status == 404:
                raise NotFound(f"{where}. Is the id right, and the namespace?") from error
            if error.status in (401, 403):
                raise BadInput(f"{where}. Give a token of an account that may, and the right namespace.") from error
            if error.status is not None and 400 <= error.status < 500:
                raise BadInput(f"{where}: {_words(error.body)}") from error
            raise NoAnswer(f"{where}. Try again later.") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswer(
                f"The KFP server at {self.endpoint} could not be reached to {doing}: {error}. Check the address and "
                "the network policies between."
            ) from error


def load_package(path: Path) -> dict[str, Any]:
    """Return a compiled pipeline as CreateRun wants it.

    Raises:
        BadInput: The file cannot be read or is not a compiled pipeline.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"Need a compiled pipeline at {path}, got {error}.") from error
    if not documents or not isinstance(documents[0], dict) or "pipelineInfo" not in documents[0]:
        raise BadInput(f"Need a compiled pipeline at {path} (python -m pipelines compile), got another YAML file.")
    platform = documents[1] if len(documents) > 1 else {}
    return {"pipeline_spec": documents[0], "platform_spec": platform}


def check_arguments(package: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the pipeline does not have or of another type, and the lack of one that it needs.

    The types matter: KFP's driver takes a number where text is due for nothing, without a word.

    Raises:
        BadInput: Naming them.
    """
    known = package["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise BadInput(f"The pipeline has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    missing = sorted(
        name
        for name, said in known.items()
        if name not in arguments and not said.get("isOptional") and "defaultValue" not in said
    )
    if missing:
        raise BadInput(f"The pipeline needs {', '.join(missing)}.")
    for name, kind in parameter_types(package).items():
        said, types = _TYPES[kind]
        value = arguments.get(name)
        if name in arguments and (not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN")):
            raise BadInput(f"The pipeline needs {name} as {said}, got {json.dumps(value)}.")


def parameter_types(package: Mapping[str, Any]) -> dict[str, str]:
    """Return the pipeline's parameters and their types, in KFP's words such as STRING."""
    known = package["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: str(said["parameterType"]) for name, said in known.items()}


def _token(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInput(f"Need a token at {path}, got {error.strerror}.") from error


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})


def _tasks(run: Any) -> dict[str, str]:
    details = run.run_details.task_details if run.run_details else None
    return {str(task.display_name): str(task.state) for task in details or []}


def _outcome(state: str, tasks: Mapping[str, str]) -> Outcome:
    """Read the outcome off the run and its promote task: a refusal is a success to KFP, without a promotion."""
    if state not in _ENDS:
        return "running"
    if state == "SUCCEEDED":
        return "promoted" if tasks.get("promote") == "SUCCEEDED" else "refused"
    return "cancelled" if state == "CANCELED" else "failed"


def _words(body: Any) -> str:
    """Return the message in a server's answer."""
    try:
        said = json.loads(body)
    except (TypeError, ValueError):
        return str(body)[:500]
    return str(said.get("error_message") or said.get("message") or said) if isinstance(said, dict) else str(said)
