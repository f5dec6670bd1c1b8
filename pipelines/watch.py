"""Mirror the end of retrainings into the ledger and an Event, and follow what infrastructure ended by another attempt.

Runs as a CronJob; each call looks once. A run that failed or was refused is final. One whose pods the cluster took
away (eviction, preemption, a lost node) is tried again, at most `max_attempts` in all.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from pipelines.kubeflow import Kubeflow, Run
from pipelines.ledger import TIMEOUT_S, Entry, Ledger, Read
from pipelines.retrain import LEASE_S, submit_attempt
from stage1.errors import NotFound

TAKEN_AWAY = ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated", "UnexpectedAdmissionError")
"""A pod's status.reason where the node, not the program, ended it."""
_SAID = ("pod deleted", "evicted", "preempted", "node shutdown", "nodelost", "imminent node shutdown")
_CLAIMED = "trains this already"


def watch(
    name: str,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    *,
    holder: str,
    tell: Callable[[str], None] = print,
) -> None:
    """Look at every unfinished attempt of a model once.

    Args:
        name: Of the model; Helm's release.
        package: The compiled pipeline, for another attempt.
        kubeflow: Where the runs are.
        ledger: Where attempts are written down.
        holder: Who asks; the pod's name.
        tell: Told what changed, a line each.
    """
    for read in ledger.entries(name):
        last = read.entry.last
        if last.end == "interrupted" and last.number < read.entry.request.max_attempts:
            _again(read, package, kubeflow, ledger, holder, tell)
        elif last.run and not last.end:
            _mirror(read, package, kubeflow, ledger, holder, tell)
        elif not last.run and last.since + LEASE_S < time.time():
            _adopt(read, package, kubeflow, ledger, holder, tell)


def _mirror(
    read: Read,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    holder: str,
    tell: Callable[[str], None],
) -> None:
    entry = read.entry
    run = _deciding(entry, kubeflow)
    if run.outcome == "running":
        return
    taken = run.outcome == "failed" and taken_away(ledger.core, ledger.namespace, run)
    end = "interrupted" if taken else run.outcome
    ended = entry.with_last(run=run.run_id, end=end, message=run.message[:1000])
    if not ledger.replace(read, ended):
        return
    tell(f"{entry.request.config_map}: run {run.run_id} {end}")
    _event(ledger, read, ended)
    if taken and entry.last.number < entry.request.max_attempts:
        fresh = ledger.read(entry.request)
        if fresh is not None and fresh.entry.last.end == "interrupted":
            _again(fresh, package, kubeflow, ledger, holder, tell)


def _again(
    read: Read,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    holder: str,
    tell: Callable[[str], None],
) -> None:
    """Add an attempt and submit it."""
    if ledger.replace(read, read.entry.with_next(holder, time.time())):
        _submit(read, package, kubeflow, ledger, holder, tell)


def _adopt(
    read: Read,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    holder: str,
    tell: Callable[[str], None],
) -> None:
    """Take over an attempt that a dead submitter left without a run."""
    if ledger.replace(read, read.entry.with_last(holder=holder, since=time.time())):
        _submit(read, package, kubeflow, ledger, holder, tell)


def _submit(
    read: Read,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    holder: str,
    tell: Callable[[str], None],
) -> None:
    fresh = ledger.read(read.entry.request)
    if fresh is not None and fresh.entry.last.holder == holder and not fresh.entry.last.run:
        submitted = submit_attempt(fresh, package, kubeflow, ledger)
        if submitted is not None:
            tell(
                f"{submitted.request.config_map}: attempt {submitted.last.number} submitted as run {submitted.last.run}"
            )


def _deciding(entry: Entry, kubeflow: Kubeflow) -> Run:
    """Return the run that speaks for the attempt.

    A lost answer can leave two runs of one attempt, of which one claimed the work and the other ended at once.
    """
    ids = kubeflow.named(entry.run_name, experiment=entry.request.experiment) or [entry.last.run]
    runs = []
    for run_id in ids:
        try:
            runs.append(kubeflow.run(run_id))
        except NotFound:
            continue
    if not runs:
        return Run(entry.last.run, entry.run_name, "FAILED", "failed", "KFP knows no such run any more.")
    working = [run for run in runs if run.outcome != "failed" or _CLAIMED not in run.message]
    return (working or runs)[0]


def taken_away(core: client.CoreV1Api, namespace: str, run: Run) -> bool:
    """Say whether the cluster, not the program, ended a run: its pods or KFP's message tell."""
    if any(said in run.message.lower() for said in _SAID):
        return True
    pods = core.list_namespaced_pod(
        namespace, label_selector=f"pipeline/runid={run.run_id}", _request_timeout=TIMEOUT_S
    )
    for pod in pods.items:
        disrupted = any(
            condition.type == "DisruptionTarget" and condition.status == "True"
            for condition in pod.status.conditions or []
        )
        if disrupted or (pod.status.phase == "Failed" and pod.status.reason in TAKEN_AWAY):
            return True
    return False


def _event(ledger: Ledger, read: Read, entry: Entry) -> None:
    """Tell the end where `kubectl get events` shows it."""
    last, now = entry.last, datetime.now(UTC)
    name = entry.request.config_map
    reference = client.V1ObjectReference(
        api_version="v1", kind="ConfigMap", name=name, namespace=ledger.namespace, uid=read.uid
    )
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name=f"{name}-"),
        involved_object=reference,
        type="Normal" if last.end in ("promoted", "cancelled") else "Warning",
        reason=last.end.capitalize(),
        message=f"Attempt {last.number}, run {last.run}: {last.end}. {last.message}".strip(),
        source=client.V1EventSource(component="stage1-watch"),
        first_timestamp=now,
        last_timestamp=now,
        count=1,
    )
    ledger.core.create_namespaced_event(ledger.namespace, event, _request_timeout=TIMEOUT_S)
