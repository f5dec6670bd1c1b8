"""Mirror the end of retrainings into the ledger and an Event, and follow what infrastructure ended by another attempt.

Runs as a CronJob; each call looks once. A run that failed or was refused is final. One whose pods the cluster took
away (eviction, preemption, a lost node) is tried again, at most `max_attempts` in all.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from pipelines.kubeflow import Kubeflow, Run
from pipelines.ledger import TIMEOUT_S, Entry, Ledger, Read, faults
from pipelines.retrain import LEASE_S, submit_attempt
from stage1.errors import NotFound

TAKEN_AWAY = ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated", "UnexpectedAdmissionError")
"""A pod's status.reason where the node, not the program, ended it."""
_SAID = ("pod deleted", "evicted", "preempted", "node shutdown", "nodelost", "imminent node shutdown")
_CLAIMED = "trains this already"


@dataclass(frozen=True)
class Watcher:
    """Looks at the attempts of models.

    Attributes:
        package: The compiled pipeline, for another attempt.
        kubeflow: Where the runs are.
        ledger: Where attempts are written down.
        holder: Who asks; the pod's name.
        tell: Told what changed, a line each.
    """

    package: Mapping[str, Any]
    kubeflow: Kubeflow
    ledger: Ledger
    holder: str
    tell: Callable[[str], None] = print

    def look(self, name: str) -> None:
        """Look at every unfinished attempt of a model once; its name is Helm's release."""
        for read in self.ledger.entries(name):
            last = read.entry.last
            if last.end == "interrupted" and last.number < read.entry.request.max_attempts:
                self._begin(read, read.entry.with_next(self.holder, time.time()))
            elif last.run and not last.end:
                self._mirror(read)
            elif not last.run and last.since + LEASE_S < time.time():
                # A submitter died before it left a run.
                self._begin(read, read.entry.with_last(holder=self.holder, since=time.time()))

    def _mirror(self, read: Read) -> None:
        """Write down how the attempt ended, if it has; follow it by another where the cluster ended it."""
        entry = read.entry
        run = self._deciding(entry)
        if run.outcome == "running":
            return
        taken = run.outcome == "failed" and taken_away(self.ledger, run)
        end = "interrupted" if taken else run.outcome
        if not self.ledger.replace(read, entry.with_last(run=run.run_id, end=end, message=run.message[:1000])):
            return
        self.tell(f"{entry.request.config_map}: run {run.run_id} {end}")
        fresh = self.ledger.read(entry.request)
        if fresh is None:
            return
        _event(self.ledger, fresh)
        if fresh.entry.last.end == "interrupted" and entry.last.number < entry.request.max_attempts:
            self._begin(fresh, fresh.entry.with_next(self.holder, time.time()))

    def _begin(self, read: Read, entry: Entry) -> None:
        """Write down that the entry's newest attempt is ours, then submit it."""
        if not self.ledger.replace(read, entry):
            return
        fresh = self.ledger.read(entry.request)
        if fresh is None or fresh.entry.last.holder != self.holder or fresh.entry.last.run:
            return
        submitted = submit_attempt(fresh, self.package, self.kubeflow, self.ledger)
        if submitted is not None:
            last = submitted.last
            self.tell(f"{submitted.request.config_map}: attempt {last.number} submitted as run {last.run}")

    def _deciding(self, entry: Entry) -> Run:
        """Return the run that speaks for the attempt.

        A lost answer can leave two runs of one attempt, of which one claimed the work and the other ended at once.
        """
        runs = []
        for run_id in self.kubeflow.named(entry.run_name, experiment=entry.request.experiment) or [entry.last.run]:
            with suppress(NotFound):
                runs.append(self.kubeflow.run(run_id))
        if not runs:
            return Run(entry.last.run, entry.run_name, "FAILED", "failed", "KFP knows no such run any more.")
        working = [run for run in runs if run.outcome != "failed" or _CLAIMED not in run.message]
        return (working or runs)[0]


def taken_away(ledger: Ledger, run: Run) -> bool:
    """Say whether the cluster, not the program, ended a run: its pods or KFP's message tell."""
    if any(said in run.message.lower() for said in _SAID):
        return True
    with faults("list the run's pods"):
        pods = ledger.core.list_namespaced_pod(
            ledger.namespace, label_selector=f"pipeline/runid={run.run_id}", _request_timeout=TIMEOUT_S
        )
    for pod in pods.items:
        disrupted = any(
            condition.type == "DisruptionTarget" and condition.status == "True"
            for condition in pod.status.conditions or []
        )
        if disrupted or (pod.status.phase == "Failed" and pod.status.reason in TAKEN_AWAY):
            return True
    return False


def _event(ledger: Ledger, read: Read) -> None:
    """Tell the end where `kubectl get events` shows it."""
    last, now = read.entry.last, datetime.now(UTC)
    name = read.entry.request.config_map
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
    with faults("write an event"):
        ledger.core.create_namespaced_event(ledger.namespace, event, _request_timeout=TIMEOUT_S)
