"""The bytes of a request: in memory, or a part of a file that is read as it is sent."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Payload:
    """Bytes in memory, with the digest that the server checks them by."""

    data: bytes = field(default=b"", repr=False)

    @property
    def num_bytes(self) -> int:
        """Their count."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """SHA-256 in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def body(self) -> bytes:
        """Return what is sent."""
        return self.data


@dataclass(frozen=True)
class FilePart:
    """`num_bytes` of a file from `start` on. A file that changes while it is sent no longer has the digest."""

    path: Path
    start: int
    num_bytes: int
    sha256: str

    def body(self) -> Iterator[bytes]:
        """Yield what is sent, anew at each call."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            left = self.num_bytes
            while left and (chunk := stream.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk


def digests(path: Path, part_bytes: int) -> tuple[str, list[FilePart]]:
    """Return the SHA-256 of a file and its parts of `part_bytes` (the last may be shorter), read once."""
    whole = hashlib.sha256()
    parts: list[FilePart] = []
    start = 0
    with path.open("rb") as stream:
        while True:
            digest, count = hashlib.sha256(), 0
            while count < part_bytes and (chunk := stream.read(min(_CHUNK, part_bytes - count))):
                whole.update(chunk)
                digest.update(chunk)
                count += len(chunk)
            if count or not parts:
                parts.append(FilePart(path, start, count, digest.hexdigest()))
                start += count
            if count < part_bytes:
                return whole.hexdigest(), parts
