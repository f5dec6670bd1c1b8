"""What a running step tells whoever watches it: one JSON object a line, appended to $STAGE1_EVENTS.

A step runs in a process whose output may be swallowed (kfp.local pipes it), so progress travels in a file. Where
$STAGE1_EVENTS is "-" there is no watcher but a log: plain lines on standard error, progress every half minute. Without
it nothing is written and a step is silent. A line never exceeds 4 KiB, which keeps appends of concurrent
writers whole.

    {"time": 1763900000.1, "step": "train", "kind": "progress", "done": 3, "total": 16, "unit": "epoch", "loss": 0.21}

Kinds: `start`, `progress` (done, total, unit and any numbers), `note` (message), `done` (seconds, cached), `failed`
(message, error, exit_code).
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

VARIABLE = "STAGE1_EVENTS"
LOG = "-"
_LOG_EVERY_S = 30.0
_LINE_LIMIT = 4096
_step = ""
_logged = 0.0


def set_step(name: str) -> None:
    """Name the step that this process is in; later events carry it."""
    global _step
    _step = name


def step() -> str:
    """Name of the step that this process is in."""
    return _step


@contextmanager
def logged() -> Iterator[None]:
    """Write to a log inside the block, unless there is a watcher."""
    if os.environ.get(VARIABLE):
        yield
        return
    os.environ[VARIABLE] = LOG
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)


def emit(kind: str, **fields: Any) -> None:
    """Append one event; a watcher that went away or a full disk never stops a step."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    if path == LOG:
        _log(kind, fields)
        return
    event = {"time": round(time.time(), 3), "step": _step, "kind": kind, **fields}
    line = json.dumps(event, default=float)
    if len(line.encode()) >= _LINE_LIMIT:
        event = {**event, "message": str(fields.get("message", ""))[:1000]}
        line = json.dumps({key: event[key] for key in ("time", "step", "kind", "message")})
    with suppress(OSError), Path(path).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def progress(done: int, total: int, unit: str, **numbers: float) -> None:
    """Say how far the step is: `done` of `total` units, with any numbers worth showing."""
    emit("progress", done=done, total=total, unit=unit, **numbers)


def note(message: str) -> None:
    """Say one thing a person should read."""
    emit("note", message=message)


def _log(kind: str, fields: dict[str, Any]) -> None:
    """Write one plain line for a log, unless it is progress that says little more than the line before."""
    global _logged
    now = time.monotonic()
    if kind == "progress":
        if now - _logged < _LOG_EVERY_S and fields["done"] < fields["total"]:
            return
        _logged = now
        numbers = [f"{name} {value:.4g}" for name, value in fields.items() if isinstance(value, float)]
        text = ", ".join([f"{fields['unit']} {fields['done']:,} of {fields['total']:,}", *numbers])
    else:
        texts = {
            "note": fields.get("message"),
            "done": f"done in {fields.get('seconds', 0):.1f} s",
            "failed": f"failed ({fields.get('error')})",  # whoever catches it tells the message
        }
        text = texts.get(kind) or kind
    with suppress(OSError):
        print(f"{time.strftime('%H:%M:%S')} {_step}: {text}", file=sys.stderr, flush=True)
