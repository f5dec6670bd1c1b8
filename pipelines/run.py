"""Run the compiled pipeline on this machine and tell the person at the terminal what happens.

kfp.local works in a child process that leads its own process group (pipelines.local); its output goes to run.log. This
process shows the steps' events, forwards SIGINT and SIGTERM, and turns the end into words and an exit code.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from pipelines.ending import tell_end, tell_stopped
from pipelines.folder import RunFolder
from stage1 import events
from stage1.console import Progress, watch_into
from stage1.steps import STEPS, run_id

GRACE_S = 15.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked this run to end."""


def run(
    out: Path,
    arguments: Mapping[str, str | int],
    *,
    pipeline: Path | None = None,
    grace_s: float = GRACE_S,
) -> int:
    """Run the pipeline in a folder; run again, it goes on from what is done.

    Args:
        out: Folder of the run, made if it is not there.
        arguments: The pipeline's parameters.
        pipeline: A compiled pipeline; None compiles ours first.
        grace_s: Seconds that a running step gets to write its checkpoint after a signal.

    Returns:
        0 promoted or nothing to promote, 3 refused by the gate, 2 bad input, 1 fault, 128 + the signal when stopped.

    Raises:
        BadInput: The folder cannot be used or another run works in it.
    """
    folder = RunFolder(out)
    with folder.locked() as lock, _signals() as received, _scratch() as scratch:
        folder.begin(pipeline, arguments)
        progress = Progress()
        with folder.log.open("wb") as log:
            child = _start(folder, log.fileno(), lock, scratch)

        def alive() -> bool:
            if received:
                raise Stopped
            return child.poll() is None

        try:
            watch_into(progress, folder.events, alive, plan=STEPS)
        except Stopped:
            _stop(child, received, grace_s)
        finally:
            _kill(child)
        if received:
            return tell_stopped(folder, received[0])
        return tell_end(folder, progress, child.returncode)


def _start(folder: RunFolder, log: int, lock: int, scratch: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "pipelines.local", str(folder.root.absolute())],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=_environment(folder, scratch),
        pass_fds=(lock,),
        process_group=0,
    )


def _environment(folder: RunFolder, scratch: str) -> dict[str, str]:
    """Return what every step inherits; byte code is kept, or each of a dozen processes would compile torch anew."""
    checkout = str(Path(__file__).resolve().parents[1])
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        events.VARIABLE: str(folder.events.absolute()),
        "STAGE1_CACHE": str(folder.cache.absolute()),
        run_id.VARIABLE: run_id.id_of(folder.root),
        "PYTHONPATH": os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": scratch,
    }


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that ask us to end, in order."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in _SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _scratch() -> Iterator[str]:
    """A short-lived folder for what kfp leaves behind with every task."""
    path = tempfile.mkdtemp(prefix="stage1-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _stop(child: subprocess.Popen[bytes], received: list[int], grace_s: float) -> None:
    """Ask the running step to end and wait for it; a second signal ends the waiting."""
    print(f"\nStopping; the running step has {grace_s:.0f} s to save its state.", file=sys.stderr, flush=True)
    deadline = time.monotonic() + grace_s
    # SIGINT whatever came: a step ends the same way, and worker processes of a loader survive it.
    os.killpg(child.pid, signal.SIGINT)
    while child.poll() is None and time.monotonic() < deadline and len(received) < 2:
        time.sleep(0.05)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End whatever of the group is still there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin:
        child.stdin.close()
