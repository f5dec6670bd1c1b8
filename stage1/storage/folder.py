"""A folder as a data set to read."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stage1.errors import BadData, NotFound, StorageError, TooLarge
from stage1.storage.copying import whole_file, write
from stage1.storage.reading import Entry, check_path, is_text

_CHUNK = 1 << 20
_ONWARD = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class FolderReader:
    """See Reader. Every name on the way is opened without following a link, so nothing can be moved under our feet."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        """See Reader.uri."""
        return str(self._root)

    def list(self, under: str = "") -> Iterator[Entry]:
        """See Reader.list."""
        prefix = f"{check_path(under)}/" if under else ""
        with suppress(NotFound):
            yield from self._walk(prefix)

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """See Reader.read."""
        with self._opened(path, max_bytes) as descriptor:
            parts = [os.read(descriptor, os.fstat(descriptor).st_size + 1)]  # mostly everything in one call
            while part := os.read(descriptor, _CHUNK):
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def fetch(self, path: str, to: Path, *, max_bytes: int | None = None) -> None:
        """See Reader.fetch."""
        with (
            self._opened(path, max_bytes) as descriptor,
            os.fdopen(descriptor, "rb", closefd=False) as stream,
            whole_file(to) as copy,
        ):
            while chunk := stream.read(_CHUNK):
                write(copy, chunk, to)

    def _walk(self, prefix: str) -> Iterator[Entry]:
        with self._folder(prefix.split("/")[:-1], prefix or ".") as folder:
            entries = sorted(
                os.scandir(folder), key=lambda entry: entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
            )
        for entry in entries:
            path = prefix + entry.name
            if not is_text(entry.name):
                yield Entry(os.fsencode(path).decode("utf-8", "backslashreplace"), 0, "", "odd name")
            elif entry.is_symlink():
                yield Entry(path, 0, "", "symlink")
            elif entry.is_dir(follow_symlinks=False):
                with suppress(NotFound):  # removed while we list
                    yield from self._walk(f"{path}/")
            elif entry.is_file(follow_symlinks=False):
                with suppress(NotFound), self._opened(path, None) as descriptor:
                    status = os.fstat(descriptor)
                    yield Entry(path, status.st_size, f"{status.st_size:x}-{status.st_mtime_ns:x}")
            else:
                yield Entry(path, 0, "", "special")

    @contextmanager
    def _opened(self, path: str, max_bytes: int | None) -> Iterator[int]:
        *above, name = check_path(path).split("/")
        with self._folder(above, path) as folder, self._step(name, os.O_NONBLOCK, folder, path) as descriptor:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise NotFound(f"There is no file {path!r} in {self._root}: it is a folder.")
            if not stat.S_ISREG(status.st_mode):
                raise BadData(f"{path!r} in {self._root} is no plain file. Replace it by one.")
            if max_bytes is not None and status.st_size > max_bytes:
                raise TooLarge(
                    f"{path} in {self._root} has {status.st_size:,} bytes, at most {max_bytes:,} are expected."
                )
            yield descriptor

    @contextmanager
    def _folder(self, names: Sequence[str], path: str) -> Iterator[int]:
        """Yield a descriptor of the folder below the root; the root itself may be a link."""
        with self._faults(path):
            descriptor = os.open(self._root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            for name in names:
                with self._step(name, os.O_DIRECTORY, descriptor, path) as below:
                    os.close(descriptor)
                    descriptor = os.dup(below)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _step(self, name: str, flag: int, folder: int, path: str) -> Iterator[int]:
        with self._faults(path):
            try:
                descriptor = os.open(name, _ONWARD | flag, dir_fd=folder)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR) and stat.S_ISLNK(
                    os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                ):
                    raise BadData(f"{path!r} in {self._root} goes over a symbolic link. Put the file there.") from None
                raise
        try:
            with self._faults(path):
                yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"There is no file {path!r} in {self._root}.") from None
        except OSError as error:
            raise StorageError(
                f"Failed reading {path} in {self._root}: {error.strerror or error}. Check permissions and the disk."
            ) from error
