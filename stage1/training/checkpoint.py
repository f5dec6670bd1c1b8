"""Training state on disk: written whole or not at all, verified when read, the newest good one wins.

A second place, a folder or object storage, gets a copy of every file, for a run that another machine goes on with.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stage1 import events
from stage1.errors import StorageError
from stage1.storage import Store


@dataclass(frozen=True)
class Copies:
    """Where else the files of one run go: below `prefix` in a store."""

    store: Store
    prefix: str

    def key(self, name: str) -> str:
        """Key of a file."""
        return f"{self.prefix}/{name}"

    def names(self) -> list[str]:
        """Files that are there, the newest last."""
        keys = self.store.list(f"{self.prefix}/")
        return sorted(key.rpartition("/")[2] for key in keys if key.endswith(".pt"))


class Checkpoints:
    """The last `keep` states of one run in one folder; a file's name carries its serial number and its bytes' digest.

    Args:
        copies: Gets every file too. What it does not take is said, and training goes on.
    """

    def __init__(self, folder: Path, keep: int = 2, copies: Copies | None = None) -> None:
        self.folder = folder
        self._keep = keep
        self._copies = copies
        self._serial: int | None = None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings and containers of these) and drop all but the last few.

        Raises:
            StorageError: The disk is full or refuses; the checkpoints before are untouched.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getbuffer()
        temporary = self.folder / "writing.tmp"
        name = f"{self._next_serial():06d}-{_digest(data)}.pt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.folder / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(
                f"the checkpoint of step {step} ({len(data):,} bytes) could not be written to {self.folder}: {error}. "
                "Make room and start the same command again: it goes on from the checkpoint before."
            ) from error
        for old in self._files()[: -self._keep]:
            old.unlink(missing_ok=True)
        if self._copies:
            self._copy(name, self._copies)

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state that is whole, saying which were not; None when there is none.

        Raises:
            StorageError: The second place cannot be asked.
        """
        for name, data in self._newest_first():
            if name.split("-")[1].removesuffix(".pt") == _digest(data):
                state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
                return state
            events.note(f"checkpoint {name} is damaged; falling back to the one before it")
            (self.folder / name).unlink(missing_ok=True)
        return None

    def newest_name(self) -> str:
        """Name of the newest file in the folder, or ""."""
        files = self._files()
        return str(files[-1]) if files else ""

    def _newest_first(self) -> Iterator[tuple[str, bytes]]:
        """Files by name, here and in the second place; what is damaged here may be whole there."""
        here = {path.name for path in self._files()}
        there = set(self._copies.names()) if self._copies else set()
        for name in sorted(here | there, reverse=True):
            if name in here:
                yield name, (self.folder / name).read_bytes()
            if name in there and self._copies:
                yield name, self._copies.store.get(self._copies.key(name)).data

    def _copy(self, name: str, copies: Copies) -> None:
        try:
            copies.store.put_file_new(copies.key(name), self.folder / name)
            for old in copies.names()[: -self._keep]:
                copies.store.remove(copies.key(old))
        except StorageError as error:
            events.note(f"checkpoint {name} is on this machine only: {error}")

    def _next_serial(self) -> int:
        """One more than any that was ever written; the second place may know of more."""
        if self._serial is None:
            names = [path.name for path in self._files()] + (self._copies.names() if self._copies else [])
            self._serial = max((int(name.split("-")[0]) for name in names), default=-1)
        self._serial += 1
        return self._serial

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*-*.pt"))


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
