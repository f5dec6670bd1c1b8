"""Which run a folder was made in: on a cluster Kubeflow's run id, on a laptop an id that the run's folder keeps."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

VARIABLE = "STAGE1_RUN_ID"
_FILE = "run.id"


def run_id() -> str:
    """Return the id of the run that this process works for, "" outside of any run."""
    return os.environ.get(VARIABLE, "")


def id_of(folder: Path) -> str:
    """Return the id of the run in this folder, made when it is first asked for: a run that goes on is the same run."""
    name = str(uuid4())
    written = folder / f".{name}"
    written.write_text(f"{name}\n", encoding="utf-8")
    with suppress(FileExistsError):
        (folder / _FILE).hardlink_to(written)
    written.unlink()
    return (folder / _FILE).read_text(encoding="utf-8").strip()
