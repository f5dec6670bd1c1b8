"""A step's output folder: its files, and step.json, which says what made them and lets the next step check them.

step.json has no clock and no path of the machine in it, so equal inputs, configuration and code give equal bytes.
"""

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import stage1
from stage1.errors import BadArtifact
from stage1.steps.run_id import run_id

NAME = "step.json"
_SCHEMA = "stage1/step/v1"
_LIBRARIES = (
    "numpy", "onnx", "onnxruntime", "pillow", "pyarrow", "pydantic", "scikit-learn", "scipy", "timm", "torch",
)  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """A verified output folder of an earlier step."""

    folder: Path
    record: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the folder's files."""
        return str(self.record["digest"])

    @property
    def data_digest(self) -> str:
        """Digest of the data set that the folder was made from."""
        return str(self.record["data_digest"])


def read_artifact(folder: Path, name: str) -> Artifact:
    """Read step.json and check every file against it.

    Args:
        folder: The output folder of a step.
        name: What the caller calls this input; stands in messages.

    Raises:
        BadArtifact: No such folder, not a step's output, or a file is missing, extra or changed.
    """
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadArtifact(
            f"{name}: {folder} has no {NAME}. Give the whole folder that the step before wrote."
        ) from error
    except ValueError as error:
        raise BadArtifact(
            f"{name}: {folder / NAME} is not JSON ({error}). Run the step that wrote it again."
        ) from error
    if not isinstance(record, dict) or record.get("schema") != _SCHEMA:
        raise BadArtifact(f"{name}: {folder / NAME} is not of schema {_SCHEMA}. Give a folder that a step wrote.")
    found = digest_files(folder)
    if found != record["files"]:
        changed = sorted(path for path in {*found, *record["files"]} if found.get(path) != record["files"].get(path))
        raise BadArtifact(
            f"{name}: {folder} was changed after step {record['step']!r} wrote it: {', '.join(changed[:5])}. "
            "Run that step again."
        )
    return Artifact(folder, record)


def provenance(folders: dict[str, Path]) -> dict[str, Any]:
    """What made these folders: versions, code, data, and the configuration and digest of every step."""
    records = {name: read_artifact(folder, name).record for name, folder in folders.items()}
    last = next(reversed(records.values()))
    return {
        **{key: last[key] for key in ("stage1", "code", "commit", "python", "data_digest")},
        "run": last["run"],
        "libraries": records["model"]["libraries"],
        "seed": records["model"]["config"]["seed"],
        "config": {record["step"]: record["config"] for record in records.values()},
        "digests": {record["step"]: record["digest"] for record in records.values()},
    }


def digest_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` except step.json, by POSIX path."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / NAME:
            with path.open("rb") as stream:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Digest the files of `folder` and write step.json beside them."""
    files = digest_files(folder)
    complete = {
        "schema": _SCHEMA,
        **record,
        **environment(),
        "run": run_id(),
        "files": files,
        "digest": digest_json(files),
    }
    text = json.dumps(complete, indent=2, sort_keys=True, allow_nan=False) + "\n"
    (folder / NAME).write_text(text, encoding="utf-8")


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def environment() -> dict[str, Any]:
    """What ran: versions of stage1, Python and the libraries, digest of the code, commit where known."""
    return {
        "stage1": stage1.__version__,
        "code": code_digest(),
        "commit": os.environ.get("STAGE1_COMMIT") or _git_commit(),
        "python": platform.python_version(),
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
    }


@cache
def code_digest() -> str:
    """SHA-256 over the files of the stage1 package: what git cannot tell of an installed or edited copy."""
    root = Path(stage1.__file__).parent
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return digest_json(
        {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    root = Path(stage1.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        shown = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return shown.stdout.strip()
