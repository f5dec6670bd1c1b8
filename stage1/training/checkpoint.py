"""Training state on disk: written whole or not at all, verified when read, the newest good one wins."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from stage1 import events
from stage1.errors import StorageError

_KEEP = 2


class Checkpoints:
    """The last two states of one run in one folder; a file's name carries its serial number and its bytes' digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings and containers of these) and drop all but the last two.

        Raises:
            StorageError: The disk is full or refuses; the checkpoints before are untouched.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getbuffer()
        temporary = self.folder / "writing.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.folder / f"{self._next_serial():06d}-{_digest(data)}.pt")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(
                f"the checkpoint of step {step} ({len(data):,} bytes) could not be written to {self.folder}: {error}. "
                "Make room and start the same command again: it goes on from the checkpoint before."
            ) from error
        for old in self._files()[:-_KEEP]:
            old.unlink(missing_ok=True)

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, saying which were not and removing them; None when there is none."""
        for path in reversed(self._files()):
            data = path.read_bytes()
            if path.stem.split("-")[1] == _digest(data):
                state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
                return state
            events.note(f"checkpoint {path.name} is damaged; falling back to the one before it")
            path.unlink()
        return None

    def _next_serial(self) -> int:
        files = self._files()
        return int(files[-1].stem.split("-")[0]) + 1 if files else 0

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.pt"))


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
