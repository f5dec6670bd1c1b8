"""What a step tells of its beginning and end, and how signals and a full disk become errors that say what to do."""

import errno
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from stage1 import events
from stage1.errors import Interrupted, StorageError


@contextmanager
def told(name: str, out: Path) -> Iterator[dict[str, Any]]:
    """Send start, done and failed; turn signals and a full disk into errors that say what to do."""
    events.set_step(name)
    events.emit("start")
    began = time.monotonic()
    outcome: dict[str, Any] = {"cached": False}
    try:
        with _terminable():
            yield outcome
    except BaseException as error:
        failure = _explained(error, name)
        code = getattr(failure, "exit_code", 1)
        events.emit("failed", message=str(failure), error=type(failure).__name__, exit_code=code)
        if failure is error:
            raise
        raise failure from error
    events.emit("done", seconds=round(time.monotonic() - began, 3), out=str(out.absolute()), **outcome)


def _explained(error: BaseException, name: str) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"step {name} was stopped; the same command goes on from what is done.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"step {name}: the disk is full ({error.filename or error}). Nothing half-written is kept; "
            "make room and start the same command again."
        )
    return error


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the step as Ctrl-C does; only the main thread can listen to it."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Interrupted("stopped by SIGTERM; the same command goes on from what is done.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
