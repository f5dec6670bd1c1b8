"""Images inside parquet files, as Hugging Face writes them: a column `image` of struct{bytes, path}, or plain binary.

An image's address is the file and the row, `data/train-00000.parquet#17`. Which column holds the images follows from
the file alone: `image` where it holds bytes, or else the only column that does.
"""

import re
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stage1.errors import BadData

_ADDRESS = re.compile(r"(.+\.parquet)#([0-9]{1,18})", re.DOTALL)
_USUAL = "image"
_LARGEST_GROUP = 4 * 2**30
CACHE_BYTES = 512 * 2**20


def split_address(uri: str) -> tuple[str, int] | None:
    """Return file and row of an image inside a parquet file, or None for the address of a plain file."""
    found = _ADDRESS.fullmatch(uri)
    return (found[1], int(found[2])) if found else None


def image_column(schema: pa.Schema, name: str) -> str | None:
    """Return the column that holds images as bytes; None where no column does.

    Raises:
        BadData: Several columns do, and none of them is called `image`.
    """
    holding = [field.name for field in schema if _holds_bytes(field.type)]
    if _USUAL in holding or len(holding) < 2:
        return _USUAL if _USUAL in holding else next(iter(holding), None)
    raise BadData(
        f"Need one column of images in {name}, got {', '.join(map(repr, holding))}. Call the right one {_USUAL!r}."
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class PackedFile:
    """One parquet file with images; a row group is read at a time, and only its image bytes.

    Args:
        path: A local file.
        name: What messages call it.

    Raises:
        BadData: Not parquet, or no column of images.
    """

    def __init__(self, path: Path, name: str) -> None:
        try:
            self._file = pq.ParquetFile(path)
            column = image_column(self._file.schema_arrow, name)
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"Need a parquet file of images at {name}: {error}") from error
        if column is None:
            raise BadData(f"Need a column of image bytes in {name}, got {', '.join(self._file.schema_arrow.names)}.")
        self._name, self._column = name, column
        self._struct = pa.types.is_struct(self._file.schema_arrow.field(column).type)
        meta = self._file.metadata
        self._ends = np.cumsum([meta.row_group(group).num_rows for group in range(meta.num_row_groups)])
        self._lock = threading.Lock()

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def schema(self) -> pa.Schema:
        """The columns of the file, with their metadata."""
        return self._file.schema_arrow

    def columns(self, names: list[str]) -> pa.Table:
        """Return whole columns, such as labels.

        Raises:
            BadData: They cannot be read.
        """
        try:
            with self._lock:
                return self._file.read(columns=names, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"{self._name} cannot be read: {error}") from error

    def place(self, row: int) -> tuple[int, int]:
        """Return the row group of a row, and where it stands in that group."""
        group = int(np.searchsorted(self._ends, row, side="right"))
        return group, row - (int(self._ends[group - 1]) if group else 0)

    def read_group(self, group: int) -> pa.ChunkedArray:
        """Return the image bytes of one row group (binary, with nulls).

        Raises:
            BadData: The group cannot be read, or is larger than 4 GiB.
        """
        size = self._file.metadata.row_group(group).total_byte_size
        if size > _LARGEST_GROUP:
            raise BadData(
                f"Row group {group} of {self._name} has {size:,} bytes; at most {_LARGEST_GROUP:,} are read at once. "
                "Write the file with smaller row groups (100 to 1,000 images each)."
            )
        wanted = f"{self._column}.bytes" if self._struct else self._column
        try:
            with self._lock:  # a ParquetFile is not for several threads
                column = self._file.read_row_group(group, columns=[wanted], use_threads=False)[self._column]
        except (OSError, pa.ArrowException) as error:
            raise BadData(f"Row group {group} of {self._name} cannot be read: {error}") from error
        return pc.struct_field(column, "bytes") if self._struct else column


class GroupCache:
    """Row groups that were read last, up to a number of bytes; each is read once however many threads ask for it."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._reading: dict[tuple[str, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, file: PackedFile, name: str, group: int) -> pa.ChunkedArray:
        """Return a row group's image bytes."""
        key = (name, group)
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key]
            column = file.read_group(group)
            with self._lock:
                self._kept[key] = column
                while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self._limit:
                    gone, _ = self._kept.popitem(last=False)
                    self._reading.pop(gone, None)
            return column
