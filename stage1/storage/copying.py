"""A file that appears whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stage1.errors import StorageError


@contextmanager
def whole_file(to: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `to` that takes its place at the end, or goes away where something was raised."""
    temporary = to.with_name(f".{to.name[:100]}.{secrets.token_hex(6)}")
    try:
        try:
            stream = temporary.open("xb")
        except OSError as error:
            raise StorageError(f"Failed writing {to}: {error.strerror}. Name a folder that can be written.") from error
        with stream:
            yield stream
            write(stream, b"", to)
        temporary.replace(to)
    finally:
        temporary.unlink(missing_ok=True)


def write(stream: BinaryIO, data: bytes | None, to: Path) -> None:
    """Append to the file that becomes `to`; None empties it. What the disk says is no fault of the service."""
    try:
        if data is None:
            stream.seek(0)
            stream.truncate()
        else:
            stream.write(data)
            if not data:
                stream.flush()
    except OSError as error:
        raise StorageError(f"Failed writing {to}: {error.strerror}. Free space, then run again.") from error
