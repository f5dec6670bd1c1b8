"""The commands that talk to a cluster: submit, status, cancel, retrain, watch, doctor.

Exit codes: 0 done (for status: promoted or going on), 2 bad input, 3 refused by the gate, 1 anything else.
"""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from stage1.errors import BadInput, NoAnswer

if TYPE_CHECKING:
    from pipelines.kubeflow import Kubeflow
    from pipelines.ledger import Ledger, Request

Endpoint = Annotated[
    str, typer.Option("--endpoint", envvar="KFP_ENDPOINT", help="KFP's API server, http(s)://host[:port].")
]
Namespace = Annotated[
    str, typer.Option("--namespace", envvar="KFP_NAMESPACE", help="Your namespace; single-user: empty.")
]
Token = Annotated[str, typer.Option("--token-file", envvar="KFP_TOKEN_FILE", help="File with a bearer token.")]
Package = Annotated[Path, typer.Option("--pipeline", envvar="STAGE1_PIPELINE", help="The compiled pipeline to run.")]
RequestFile = Annotated[Path, typer.Option("--request", help="JSON of the values to train, as the chart writes it.")]
ClusterNamespace = Annotated[
    str, typer.Option("--ledger-namespace", envvar="STAGE1_NAMESPACE", help="Namespace of the ledger and the pods.")
]

_RUNNING_IN = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ASK_EVERY_S = 5.0
_PATIENCE = 120  # answers in a row that may fail while a run is waited for
_EXIT = {"running": 0, "promoted": 0, "refused": 3, "failed": 1, "cancelled": 1}


def submit(
    data: Annotated[str, typer.Option(help="The images, s3://bucket/prefix or a sheet there.")],
    endpoint: Endpoint,
    pipeline: Package = Path("build/pipeline.yaml"),
    namespace: Namespace = "",
    token_file: Token = "",
    preset: Annotated[str, typer.Option(help="Where the configuration begins: demo or full.")] = "full",
    config: Annotated[Path | None, typer.Option(help="YAML file whose fields replace the preset's.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="One field, a.b=c; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=-1, help="Of everything random; -1 leaves what the others say.")] = -1,
    store: Annotated[str, typer.Option(help="Object store of bundles and channels.")] = "",
    channel: Annotated[str, typer.Option(help="Channel that a promotion moves.")] = "",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="Another pipeline parameter, name=value or name=JSON.")
    ] = None,
    experiment: Annotated[str, typer.Option(help="KFP's experiment of the run.")] = "stage1",
    key: Annotated[
        str, typer.Option(help="Names the run; said again, the same run is meant and none is started.")
    ] = "",
    account: Annotated[str, typer.Option(help="Service account of the run's pods.")] = "",
) -> None:
    """Start a run on Kubeflow and print its id."""
    from pipelines.kubeflow import check_arguments, load_package, parameter_types

    package = load_package(pipeline)
    arguments: dict[str, Any] = {
        "data": data,
        "preset": preset,
        "config": _read(config) if config else "",
        "overrides": "\n".join(overrides or []),
        "seed": seed,
        "store": store,
        "channel": channel,
        **_parameters(parameter or [], parameter_types(package)),
    }
    kubeflow = _kubeflow(endpoint, namespace, token_file)
    check_arguments(package, arguments)
    name = key or f"{channel or 'stage1'}-{Path(data).stem or 'data'}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    known = kubeflow.named(name, experiment=experiment) if key else []
    if known:
        typer.echo(f"Run {name!r} is there already; nothing was started.", err=True)
        typer.echo(known[0])
        return
    if key:
        arguments["claim"] = f"submit/{key}"
    typer.echo(kubeflow.submit(package, name, arguments, experiment=experiment, account=account))


def status(
    run_id: Annotated[str, typer.Argument(help="As submit printed it.")],
    endpoint: Endpoint,
    namespace: Namespace = "",
    token_file: Token = "",
    wait: Annotated[bool, typer.Option(help="Until the run ends.")] = False,
) -> None:
    """Say how a run stands: running, promoted, refused, failed or cancelled."""
    kubeflow = _kubeflow(endpoint, namespace, token_file)
    run = kubeflow.run(run_id)
    patience = _PATIENCE
    while wait and run.outcome == "running":
        time.sleep(_ASK_EVERY_S)
        try:
            run, patience = kubeflow.run(run_id), _PATIENCE
        except NoAnswer as error:
            patience -= 1
            if not patience:
                raise
            typer.echo(f"{error} Asking again.", err=True)
    typer.echo(f"{run.outcome}\t{run.name}{f': {run.message}' if run.message else ''}")
    raise typer.Exit(_EXIT[run.outcome])


def cancel(
    run_id: Annotated[str, typer.Argument(help="As submit printed it.")],
    endpoint: Endpoint,
    namespace: Namespace = "",
    token_file: Token = "",
) -> None:
    """End a run; what it has done is kept, and the same values submitted again go on from there."""
    _kubeflow(endpoint, namespace, token_file).cancel(run_id)
    typer.echo(f"Asked the server to end run {run_id}.")


def retrain(
    request: RequestFile,
    endpoint: Endpoint,
    pipeline: Package = Path("build/pipeline.yaml"),
    namespace: Namespace = "",
    token_file: Token = "",
    ledger_namespace: ClusterNamespace = "",
    dry_run: Annotated[bool, typer.Option(help="Say what would happen and start nothing.")] = False,
) -> None:
    """Train the chart's values once, whoever asks how often; what the chart's Job runs."""
    from pipelines.kubeflow import check_arguments, load_package
    from pipelines.preview import preview
    from pipelines.retrain import retrain as submit_once

    wanted, package = _request(request), load_package(pipeline)
    check_arguments(package, wanted.arguments)
    ledger = _ledger(ledger_namespace)
    if dry_run:
        for line in preview(wanted, _kubeflow(endpoint, namespace, token_file), ledger):
            typer.echo(line)
        return
    submit_once(wanted, package, _kubeflow(endpoint, namespace, token_file), ledger, holder=_holder(), tell=typer.echo)


def watch(
    name: Annotated[str, typer.Option(help="Of the model; the Helm release.")],
    endpoint: Endpoint,
    pipeline: Package = Path("build/pipeline.yaml"),
    namespace: Namespace = "",
    token_file: Token = "",
    ledger_namespace: ClusterNamespace = "",
) -> None:
    """Write the end of retrainings into the ledger and an Event; what the chart's CronJob runs."""
    from pipelines.kubeflow import load_package
    from pipelines.watch import Watcher

    kubeflow, ledger = _kubeflow(endpoint, namespace, token_file), _ledger(ledger_namespace)
    Watcher(load_package(pipeline), kubeflow, ledger, _holder(), typer.echo).look(name)


def doctor(
    endpoint: Endpoint,
    namespace: Namespace = "",
    token_file: Token = "",
    ledger_namespace: ClusterNamespace = "",
    gpu_resource: Annotated[str, typer.Option(help="Resource name of an accelerator.")] = "nvidia.com/gpu",
    queue: Annotated[str, typer.Option(help="Kueue's local queue; empty asks nothing about it.")] = "",
    store: Annotated[str, typer.Option(help="Object store of bundles; empty asks nothing about it.")] = "",
) -> None:
    """Say what of the cluster is ready, and what to do where it is not; exits with 1 then."""
    from pipelines.doctor import Doctor

    ledger = _ledger(ledger_namespace)
    found = Doctor(
        _kubeflow(endpoint, namespace, token_file), ledger.core.api_client, ledger.namespace, gpu_resource, queue, store
    ).findings()
    ready = True
    for each in found:
        typer.echo(f"{'ready' if each.ready else 'NOT READY':<10}{each.name}: {each.seen}")
        if each.fix:
            typer.echo(f"{'':<10}{each.fix}")
        ready &= each.ready
    raise typer.Exit(0 if ready else 1)


def _kubeflow(endpoint: str, namespace: str, token_file: str) -> "Kubeflow":
    from pipelines.kubeflow import Kubeflow

    return Kubeflow(endpoint, token_file=token_file, namespace=namespace)


def _ledger(namespace: str) -> "Ledger":
    from kubernetes import client, config

    from pipelines.ledger import Ledger

    try:
        config.load_config()
    except (config.ConfigException, OSError) as error:
        raise BadInput(f"Need a Kubernetes API server, from the pod's account or KUBECONFIG: {error}") from error
    inside = _RUNNING_IN.read_text(encoding="utf-8").strip() if _RUNNING_IN.exists() else "default"
    return Ledger(client.CoreV1Api(), namespace or inside)


def _holder() -> str:
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}-{os.getpid()}"


def _request(path: Path) -> "Request":
    from pipelines.ledger import Request

    try:
        return Request.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInput(f"{path}: {where}: {first['msg']}.") from error


def _parameters(pairs: Sequence[str], types: Mapping[str, str]) -> dict[str, Any]:
    """Read name=value; a value that is JSON is meant as JSON, but where the pipeline takes text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise BadInput(f"Need a parameter as name=value, got {pair!r}.")
        found[name] = value
        if types.get(name) != "STRING":
            with suppress(ValueError):
                found[name] = json.loads(value)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Need a file at {path}, got {error}.") from error
