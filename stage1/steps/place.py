"""Where a step's result is built, kept and delivered: whole or absent, never half.

A result is built in a home of its own, named by the step and the fingerprint of what it is made from: below
$STAGE1_CACHE if that is set, where it stays and is reused, else beside the output folder, where nothing is left.

    HOME/work      being written          HOME/result    complete
    HOME/resume    what an interrupted step needs to go on; gone when it is complete
"""

import os
import shutil
from pathlib import Path
from typing import Any

from stage1 import events
from stage1.errors import BadArtifact, BadInput
from stage1.steps.artifact import read_artifact

CACHE = "STAGE1_CACHE"


def resume_folder(out: Path) -> Path:
    """Where a step keeps what it needs to go on after an interruption; emptied when the step is complete."""
    return out.parent / "resume"


def home_of(name: str, fingerprint: str, out: Path) -> Path:
    """The folder that a result is built in and, with a cache, stays in."""
    root = os.environ.get(CACHE)
    label = f"{name}-{fingerprint[:24]}"
    return Path(root) / label if root else out.absolute().parent / f".{label}"


def earlier_result(home: Path, fingerprint: str) -> dict[str, Any] | None:
    """The record of a complete and undamaged result, or None."""
    if not (home / "result").is_dir():
        return None
    try:
        record = read_artifact(home / "result", "cache").record
    except BadArtifact as error:
        events.note(f"an earlier result cannot be reused, the step runs again: {error}")
        return None
    return record if record["fingerprint"] == fingerprint else None


def fresh_work_folder(home: Path) -> Path:
    """An empty folder to build the result in; what an interrupted attempt left half-built is gone."""
    work = home / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def finish(work: Path, home: Path, out: Path) -> None:
    """Declare the built result complete, and deliver it."""
    result = home / "result"
    shutil.rmtree(result, ignore_errors=True)
    work.rename(result)
    shutil.rmtree(resume_folder(work), ignore_errors=True)
    deliver(home, out)
    if not os.environ.get(CACHE):
        shutil.rmtree(home)


def deliver(home: Path, out: Path) -> None:
    """Put the result where the caller asked for it, replacing an earlier one in one rename."""
    out.parent.mkdir(parents=True, exist_ok=True)
    arriving = out.with_name(f".{out.name}.arriving")
    leaving = out.with_name(f".{out.name}.leaving")
    for folder in (arriving, leaving):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(home / "result", arriving, copy_function=_link)
    if out.exists():
        must_be_replaceable(out)
        out.rename(leaving)
    arriving.rename(out)
    shutil.rmtree(leaving, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def must_be_replaceable(out: Path) -> None:
    """Refuse to overwrite what no step wrote."""
    if not out.is_dir() or (any(out.iterdir()) and not (out / "step.json").is_file()):
        raise BadInput(
            f"{out} exists and was not written by a step, so it is not overwritten. Give another output folder."
        )
