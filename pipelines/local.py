"""The process in which kfp.local runs a compiled pipeline: `python -m pipelines.local FOLDER`.

Started by pipelines.run; FOLDER/order.json says what to run. It leads the process group of the steps. After SIGINT
the running step ends by itself and no further one begins; when the parent is gone (its end of our standard input
closed), the group stops as well.
"""

import inspect
import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from stage1 import events
from stage1.errors import Stage1Error

ORDER = "order.json"
PIPELINE = "pipeline.yaml"


class _Stop:
    """Refuses to start processes once a signal came."""

    def __init__(self) -> None:
        self.asked = False

    def receive(self, _number: int, _frame: FrameType | None) -> None:
        # A handler of Python's, not SIG_IGN, because steps would inherit the latter.
        self.asked = True

    def audit(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if self.asked and event == "subprocess.Popen":
            raise SystemExit(130)


def main(folder: Path) -> None:
    """Compile the pipeline unless the order names a file, then run the file in this process."""
    stop = _Stop()
    signal.signal(signal.SIGINT, stop.receive)
    sys.addaudithook(stop.audit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    _check(order["arguments"])
    if order["pipeline"] is None:
        from pipelines.pipeline import compile_to

        compile_to(folder / PIPELINE)
    _run(Path(order["pipeline"] or folder / PIPELINE), order["arguments"], folder / "artifacts")


def _check(arguments: dict[str, str | int]) -> None:
    """Try the first task here, where a wrong configuration can still be told before anything runs."""
    from components.configure.component import configure

    names = set(inspect.signature(configure.python_func).parameters)
    try:
        configure.python_func(**{name: value for name, value in arguments.items() if name in names})
    except Stage1Error as error:
        events.set_step("configure")
        events.emit("failed", message=str(error), error=type(error).__name__, exit_code=error.exit_code)
        raise


def _run(pipeline: Path, arguments: dict[str, str | int], root: Path) -> None:
    from kfp import components, local

    warnings.filterwarnings("ignore", message="You may be attemping to run", category=RuntimeWarning)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), enable_caching=False)
    components.load_component_from_text(_tried_once(pipeline.read_text(encoding="utf-8")))(**arguments)


def _tried_once(compiled: str) -> str:
    """Drop the retries: they are for lost nodes, and here a person is told and starts the same command again."""
    import yaml

    documents = list(yaml.safe_load_all(compiled))
    for part in (documents[0].get("root", {}), *documents[0].get("components", {}).values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: this returns when the parent's end closes
    os.killpg(0, signal.SIGINT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
