"""Submit a retraining once, whoever asks how often: what the chart's Job runs.

Exactly one run cannot be had before CreateRun, because a lost answer may land late. So the ledger lets one submitter
through at a time, a run is looked for by name before it is started, and a run claims its attempt in object storage
before any work (parameter `claim`): two runs may exist, one trains.

A submitter that dies leaves an attempt without a run; whoever comes after LEASE_S takes it over.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.kubeflow import Kubeflow
from pipelines.ledger import Attempt, Entry, Ledger, Read, Request
from stage1.errors import NoAnswer

LEASE_S = 120.0
"""Longer than a submission may take: each of its few requests has 30 s."""
_WAIT_S = 2.0


def retrain(
    request: Request,
    package: Mapping[str, Any],
    kubeflow: Kubeflow,
    ledger: Ledger,
    *,
    holder: str,
    lease_s: float = LEASE_S,
    tell: Callable[[str], None] = print,
) -> Attempt:
    """Return the newest attempt of these values, submitted now if nobody has.

    Args:
        request: The values.
        package: The compiled pipeline.
        kubeflow: Where runs go.
        ledger: Where attempts are written down.
        holder: Who asks; the pod's name.
        lease_s: Seconds after which a submitter that left no run is taken for dead.
        tell: Told what was done, a line each.

    Raises:
        NoAnswer: KFP or the API server did not answer; asking again goes on from there.
    """
    first = Entry(request=request, attempts=(Attempt(number=1, holder=holder, since=time.time()),))
    if ledger.create(first):
        tell(f"{request.config_map}: made")
    while True:
        read = ledger.read(request)
        if read is None:
            raise NoAnswer(f"{request.config_map} was removed while it was read. Ask again.")
        attempt = read.entry.last
        if attempt.run:
            tell(f"{request.config_map}: attempt {attempt.number} is run {attempt.run}, {attempt.end or 'not ended'}")
            return attempt
        if attempt.holder == holder:
            submitted = submit_attempt(read, package, kubeflow, ledger)
            if submitted is not None:
                tell(f"{request.config_map}: attempt {submitted.last.number} submitted as run {submitted.last.run}")
                if request.superseded == "cancel":
                    cancel_older(submitted, kubeflow, ledger, tell)
        elif attempt.since + lease_s < time.time():
            ledger.replace(read, read.entry.with_last(holder=holder, since=time.time()))
        else:
            tell(f"{request.config_map}: {attempt.holder} is submitting; waiting")
            time.sleep(min(_WAIT_S, lease_s))


def submit_attempt(read: Read, package: Mapping[str, Any], kubeflow: Kubeflow, ledger: Ledger) -> Entry | None:
    """Start the newest attempt's run unless it exists, and write its id down; None where somebody else wrote."""
    entry = read.entry
    request = entry.request
    found = kubeflow.named(entry.run_name, experiment=request.experiment)
    run = (
        found[0]
        if found
        else kubeflow.submit(
            package,
            entry.run_name,
            {**request.arguments, "claim": f"{request.name}/{request.hash}/{entry.last.number}"},
            experiment=request.experiment,
            account=request.account,
        )
    )
    submitted = entry.with_last(run=run)
    return submitted if ledger.replace(read, submitted) else None


def cancel_older(entry: Entry, kubeflow: Kubeflow, ledger: Ledger, tell: Callable[[str], None]) -> None:
    """Cancel unfinished runs of the model's other values; the watcher writes their end down."""
    for other in ledger.entries(entry.request.name):
        last = other.entry.last
        if other.entry.request.hash != entry.request.hash and last.run and not last.end:
            kubeflow.cancel(last.run)
            tell(f"{other.entry.request.config_map}: run {last.run} cancelled, newer values replace it")
