"""From a row of a manifest to its bytes: local folders, S3, and rows of parquet files, behind one `read`.

Nothing outside a root is read: the reader (stage1.storage) refuses links, `..` and absolute paths.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stage1.data.decode import MAX_PIXELS
from stage1.data.manifest import Rows
from stage1.data.packed import GroupCache, PackedFile, split_address
from stage1.errors import BadArtifact, BadData, BadImage, NotFound, StorageError, TooLarge
from stage1.storage.reading import check_path, open_reader


class Origin:
    """Bytes of images below one root. Thread-safe; a pickled or forked copy opens its own connections and caches.

    Args:
        root: A local folder or s3://bucket/prefix.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._reader = open_reader(self.root)
        self._lock = threading.Lock()
        self._files: dict[str, PackedFile] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._groups = GroupCache()
        self._fetched: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Origin, (self.root,)

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return not self.root.startswith("s3://")

    def address(self, uri: str) -> str:
        """Return what a person calls this image."""
        return f"{self.root.rstrip('/')}/{uri}"

    def read(self, uri: str, *, max_pixels: int = MAX_PIXELS) -> bytes:
        """Return an image's bytes, unless they are more than an image of `max_pixels` can have.

        Args:
            uri: Relative to the root; `file.parquet#17` is row 17 of that file.
            max_pixels: For the largest number of bytes that is read.

        Raises:
            BadImage: reason missing, unreadable (a link, a folder, an address that leads out) or too_large.
            StorageError: The object store failed, after retries; the message names the key.
        """
        if self._process != os.getpid():
            self._open()  # a fork copies locks and connections in whatever state they were
        limit = 8 * max_pixels + 2**26  # 16-bit RGBA without compression, and room for metadata
        packed = split_address(uri)
        if packed:
            return self._read_packed(uri, *packed, limit)
        try:
            return self._reader.read(uri, max_bytes=limit)
        except NotFound:
            raise BadImage(f"There is no file {self.address(uri)}.", "missing") from None
        except TooLarge as error:
            raise BadImage(str(error), "too_large") from None
        except BadData as error:
            raise BadImage(f"Cannot read {self.address(uri)}: {error}", "unreadable") from error
        except StorageError as error:
            if not self.is_local:
                raise  # a store that fails is no bad image
            raise BadImage(str(error), "unreadable") from error

    def packed_file(self, path: str) -> PackedFile:
        """Return a parquet file of images, opened once; one on S3 is first fetched to a temporary folder.

        Raises:
            BadData: Not parquet, or no column of images.
            NotFound: There is no such file.
        """
        with self._lock:
            opening = self._opening.setdefault(path, threading.Lock())
        with opening:
            if path not in self._files:
                self._files[path] = PackedFile(self._on_disk(path), self.address(path))
            return self._files[path]

    def _on_disk(self, path: str) -> Path:
        if self.is_local:
            plain = Path(self.root) / path
            if any(part.is_symlink() for part in (plain, *plain.parents[: path.count("/")])):
                raise BadData(f"{self.address(path)} goes over a symbolic link. Put the file there.")
            check_path(path)
            if not plain.is_file():
                raise NotFound(f"There is no file {self.address(path)}.")
            return plain
        with self._lock:
            if self._fetched is None:
                self._fetched = Path(tempfile.mkdtemp(prefix="stage1-parquet-"))
                weakref.finalize(self, _remove, self._fetched, os.getpid())
        to = self._fetched / hashlib.sha256(path.encode()).hexdigest()
        self._reader.fetch(path, to)
        return to

    def _read_packed(self, uri: str, path: str, row: int, limit: int) -> bytes:
        try:
            file = self.packed_file(path)
            if row >= file.num_rows:
                raise BadImage(f"{self.address(path)} has {file.num_rows:,} rows, none is {row}.", "missing")
            group, position = file.place(row)
            value = self._groups.get(file, path, group)[position]
        except NotFound:
            raise BadImage(f"There is no file {self.address(path)}.", "missing") from None
        except BadImage:
            raise
        except BadData as error:
            raise BadImage(str(error), "unreadable") from error
        if not value.is_valid:
            raise BadImage(f"{self.address(uri)} holds no bytes.", "missing")
        data = value.as_buffer()
        if data.size > limit:
            raise BadImage(f"{self.address(uri)} has {data.size:,} bytes; at most {limit:,} are read.", "too_large")
        return bytes(data)


def _remove(folder: Path, process: int) -> None:
    """Remove what was fetched; a forked copy leaves it to the process that fetched it."""
    if process == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)


class RowImages:
    """Bytes of the rows of a manifest, compared with their digests: what the split saw is what is used.

    Args:
        rows: Rows that a step was allowed to see.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._origins = [Origin(root) for root in rows.roots]
        table = rows.table.combine_chunks()
        self._uris, self._digests = table["uri"], table["digest"]
        self._root_N = table["root"].to_numpy()

    def __reduce__(self) -> tuple[Any, ...]:
        return RowImages, (self._rows,)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, index: int, *, max_pixels: int = MAX_PIXELS) -> bytes:
        """Return the bytes of row `index`.

        Raises:
            BadArtifact: The image is gone or was changed since the split.
            StorageError: The object store failed, after retries; the message names the key.
        """
        origin, uri = self._place(index)
        try:
            data = origin.read(uri, max_pixels=max_pixels)
        except BadImage as error:
            raise BadArtifact(
                f"{error} It was there when the data were split: restore it or run `stage1 split`."
            ) from error
        if hashlib.sha256(data).digest() != self._digests[index].as_py():
            raise BadArtifact(
                f"{origin.address(uri)} was changed since the split. Restore it, or run `stage1 split` again."
            )
        return data

    def address(self, index: int) -> str:
        """Return what a person calls row `index`."""
        origin, uri = self._place(index)
        return origin.address(uri)

    def local_path(self, index: int) -> Path | None:
        """Return the path of row `index` where it is a plain file of this machine."""
        origin, uri = self._place(index)
        return Path(origin.root) / uri if origin.is_local and not split_address(uri) else None

    def storage_order(self) -> NDArray[np.int64]:
        """Return the row indices in the order in which the images lie: by root, file, and row of a parquet file."""
        packed = pc.extract_regex(self._uris, r"(?s)^(?P<file>.+\.parquet)#(?P<row>[0-9]{1,18})$")
        columns = {
            "root": pa.array(self._root_N),
            "file": pc.coalesce(pc.struct_field(packed, "file"), self._uris),
            "row": pc.fill_null(pc.struct_field(packed, "row").cast(pa.int64()), 0),
        }
        order = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns])
        return np.asarray(order.to_numpy(), dtype=np.int64)

    def _place(self, index: int) -> tuple[Origin, str]:
        return self._origins[self._root_N[index]], self._uris[int(index)].as_py()
