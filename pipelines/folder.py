"""A run's folder: one run at a time, what it was asked to do, how it ended, its steps' latest folders.

order.json     the pipeline file and its arguments          pipeline.yaml  what was compiled and run
events.jsonl   what the steps said; events.previous.jsonl   run.log        what kfp.local and the steps printed
cache/         finished steps by content                    artifacts/     kfp.local's pipeline root
run.id         what the bundle calls this run
steps/NAME     link to the newest folder of a step          end.json       exit code, state, failed step
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.local import ORDER
from stage1.errors import BadInput


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run's folder and the few things done with them."""

    root: Path

    @property
    def events(self) -> Path:
        """The file that the steps report to."""
        return self.root / "events.jsonl"

    @property
    def log(self) -> Path:
        """Everything that kfp.local and the steps printed."""
        return self.root / "run.log"

    @property
    def cache(self) -> Path:
        """Finished steps and resumable training state."""
        return self.root / "cache"

    @property
    def _latest(self) -> Path:
        return self.root / "latest"

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder for one run; the yielded descriptor, inherited by a child, keeps it held for that long too.

        Raises:
            BadInput: The folder cannot be made, or another run holds it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BadInput(
                f"Need a folder to run in at {self.root}, got {error.strerror}. Choose another --out."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode() or "unknown"
            raise BadInput(
                f"Another run (process {holder}) works in {self.root}. Wait for its end or choose another --out."
            ) from None
        finally:
            os.close(descriptor)

    def begin(self, pipeline: Path | None, arguments: Mapping[str, str | int]) -> None:
        """Write the order of a new run and put away what the last one said."""
        if self.events.exists():
            self.events.replace(self.root / "events.previous.jsonl")
        (self.root / "end.json").unlink(missing_ok=True)
        self.cache.mkdir(exist_ok=True)
        self._latest.mkdir(exist_ok=True)
        for link in self._latest.iterdir():
            link.unlink()
        file = None if pipeline is None else str(pipeline.absolute())
        _write(self.root / ORDER, {"schema": "stage1/order/v1", "pipeline": file, "arguments": dict(arguments)})

    def link(self, folders: Mapping[str, Path]) -> dict[str, Path]:
        """Give the steps' folders names that stay the same from run to run; return those."""
        for step, folder in folders.items():
            (self._latest / step).symlink_to(os.path.relpath(folder.absolute(), self._latest.absolute()))
        return {step: self._latest / step for step in folders}

    def end(self, exit_code: int, state: str, step: str = "", message: str = "") -> int:
        """Record how the run ended and return its exit code; a full disk must not hide what there is to say.

        Args:
            exit_code: Of the runner.
            state: promoted, unchanged (the channel serves this model already), refused, failed or interrupted.
            step: Where it failed or was interrupted.
            message: Why.
        """
        record = {"exit_code": exit_code, "state": state, "step": step, "message": message}
        with suppress(OSError):
            _write(self.root / "end.json", {"schema": "stage1/end/v1", **record})
        return exit_code


def _write(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
