"""What a change of the chart's values would do, for whoever reviews it: `retrain --dry-run`."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.kubeflow import Kubeflow
from pipelines.ledger import Entry, Ledger, Request
from stage1.errors import NotFound


def preview(request: Request, kubeflow: Kubeflow, ledger: Ledger) -> Iterator[str]:
    """Yield a line each: whether these values would train, what differs from the newest ones, what they would cost.

    The cost is that of the model's newest promoted or refused run; nothing is said of it where there is none, or where
    its run or its length is not known any more.
    """
    found = ledger.read(request)
    if found:
        attempt = found.entry.last
        yield f"{request.config_map}: attempt {attempt.number} is known: nothing would train"
        return
    yield f"{request.config_map}: these values would train"
    entries = sorted((read.entry for read in ledger.entries(request.name)), key=lambda entry: entry.last.since)
    if not entries:
        yield f"they are the first of {request.name}"
        return
    newest = entries[-1]
    yield f"against {newest.request.hash}, {newest.last.end or 'not ended'}:"
    yield from changes(newest.request.arguments, request.arguments)
    for entry in reversed(entries):
        hours = _hours(entry, kubeflow)
        if hours is not None:
            count = int(request.arguments.get("gpu_count") or 0)
            yield f"about {hours * count:.1f} GPU-hours: {entry.run_name} took {hours:.1f} h, {count} asked for here"
            return


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two sets of pipeline parameters; of long texts the lines that do."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        if "\n" not in f"{old}{new}":
            yield f"  {name}: {_shown(old)} -> {_shown(new)}"
            continue
        yield f"  {name}:"
        for line in difflib.ndiff(str(old).splitlines(), str(new).splitlines()):
            if line[0] in "+-":
                yield f"    {line}"


def _shown(value: Any) -> str:
    return json.dumps(value) if value != "" else "nothing"


def _hours(entry: Entry, kubeflow: Kubeflow) -> float | None:
    if entry.last.end not in ("promoted", "refused"):
        return None
    try:
        seconds = kubeflow.run(entry.last.run).seconds
    except NotFound:
        return None
    return None if seconds is None else seconds / 3600
