"""The end of a run: its last words, its record and its exit code."""

import re
import signal
import sys
from pathlib import Path

from pipelines.folder import RunFolder
from stage1.console import Failure, Progress, follow, refused, summary, unchanged

_LOG_LINES = 20
_COLOUR = re.compile(r"\x1b\[\d+m")
_TASK_FAILED = re.compile(r" - ERROR - Task '.*' finished with status FAILURE")


def tell_stopped(folder: RunFolder, number: int) -> int:
    """Say where signal `number` stopped the run and how to go on; return the exit code."""
    progress = Progress()  # read anew, because the step had its last words after we stopped watching
    for event in follow(folder.events, lambda: False):
        progress.apply(event or {})
    code = 128 + number
    step = progress.failure.step if progress.failure else progress.current.name if progress.current else ""
    folder.link(progress.folders)
    folder.end(code, "interrupted", step, signal.Signals(number).name)
    print(f"Stopped{f' in {step}' if step else ''}. The same command goes on from what is done.", file=sys.stderr)
    return code


def tell_end(folder: RunFolder, progress: Progress, returncode: int) -> int:
    """Print the summary and, after a failure, its message; return the exit code."""
    folders = folder.link(progress.folders)
    failure = None
    if returncode == 0 and "promote" in folders:
        code = folder.end(0, "promoted")
    elif returncode == 0 and unchanged(folders):
        code = folder.end(0, "unchanged")
    elif returncode == 0 and refused(folders):
        code = folder.end(3, "refused")
    else:
        failure = progress.failure or _unsaid(progress, returncode)
        code = folder.end(failure.exit_code, "failed", failure.step, failure.message)
    words = summary(folders)
    if words:
        print(f"\n{words}", flush=True)
    if failure:
        _tell_failure(folder, failure)
    return code


def _tell_failure(folder: RunFolder, failure: Failure) -> None:
    print(f"\n{failure.step or 'error'}: {failure.message}", file=sys.stderr)
    if failure.exit_code == 1:
        print(f"\nThe end of {folder.log}:\n{_end_of(folder.log)}", file=sys.stderr)
    print("What is done is kept: the same command goes on from there.", file=sys.stderr)


def _unsaid(progress: Progress, returncode: int) -> Failure:
    """Name a failure of which no event tells."""
    if returncode == 0:
        return Failure(
            "", "The pipeline ended well for kfp, but the gate's yes was not followed by a promotion.", "", 1
        )
    if progress.current:
        return Failure(
            progress.current.name, "The step's process died without a word; was it killed for memory?", "", 1
        )
    return Failure("", "The pipeline could not be run.", "", 1)


def _end_of(log: Path) -> str:
    """Return the last words of the task that failed last, or of the whole log when no task began."""
    lines = _COLOUR.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()
    failed = [number for number, line in enumerate(lines) if _TASK_FAILED.search(line)]
    end = failed[-1] if failed else len(lines)
    return "\n".join(f"  {line}" for line in lines[max(0, end - _LOG_LINES) : end] if line.strip())
