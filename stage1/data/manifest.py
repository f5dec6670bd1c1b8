"""The manifest: one row an image, and the only way for data into later steps.

A parquet file with the columns of SCHEMA and, under the metadata key `stage1`, a JSON object with the salt, the
fractions, the data digest, the roots and the class names. Rows are sorted by content digest, so neither the order
in which images were listed nor their file names change the order of the manifest.

`data_digest` is the SHA-256 of all content digests, labels, synthetic marks and groups in that order. It changes with
any byte of any image, with any label, mark and group; it does not change when files are renamed, moved or listed in
another order.

Synthetic images and images without a label (-1) may train and nothing else: a manifest that has one in another split
is refused.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage1.data.config import Fractions
from stage1.errors import BadArtifact, SplitForbidden

SPLITS = ("train", "val_select", "val_calib", "val_test")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 16 hex digits of the digest; -1, -2 ... for further copies
        pa.field("root", pa.int16(), nullable=False),  # index into the roots
        pa.field("uri", pa.string(), nullable=False),  # relative to that root; file.parquet#17 is row 17 of the file
        pa.field("digest", pa.binary(32), nullable=False),  # SHA-256 of the image's bytes
        pa.field("label", pa.int8(), nullable=False),  # 1 is road work, -1 is not known
        pa.field("group", pa.string(), nullable=False),  # what stays together; 16 hex digits of the digest if not given
        pa.field("split", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # "" if not given
        pa.field("synthetic", pa.bool_(), nullable=False),  # generated, not photographed
        pa.field("width", pa.int32(), nullable=False),  # of the upright picture
        pa.field("height", pa.int32(), nullable=False),
    ]
)
_KEY = b"stage1"
_VERSION = "stage1/manifest/v2"
_ROW_GROUP = 2**20


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal["stage1/manifest/v2"] = Field(alias="schema")
    salt: str
    fractions: Fractions
    data_digest: str
    roots: tuple[str, ...]
    class_names: tuple[str, str]


@dataclass(frozen=True)
class Rows:
    """Rows of a manifest that a step was allowed to see.

    Attributes:
        table: The rows, with the columns of SCHEMA.
        roots: Absolute folders and s3:// prefixes that `uri` starts from; `root` is an index into them.
    """

    table: pa.Table
    roots: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def labels(self) -> NDArray[np.int8]:
        """Labels [N], 0 or 1; -1 for rows without label, where they were asked for."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.int8)

    @property
    def ids(self) -> NDArray[np.object_]:
        """Ids [N], unique in the manifest, fit for file names."""
        return self._strings("id")

    @property
    def groups(self) -> NDArray[np.object_]:
        """Group names [N]."""
        return self._strings("group")

    @property
    def splits(self) -> NDArray[np.object_]:
        """Split names [N]."""
        return self._strings("split")

    @property
    def sources(self) -> NDArray[np.object_]:
        """Source names [N]; "" where none was given."""
        return self._strings("source")

    def _strings(self, column: str) -> NDArray[np.object_]:
        return np.asarray(self.table[column].to_numpy(zero_copy_only=False), dtype=np.object_)


@dataclass(frozen=True)
class Manifest:
    """Every image of a data set with its split.

    Attributes:
        table: Columns of SCHEMA, sorted by digest.
        roots: Absolute folders and s3:// prefixes that `uri` starts from; `root` is an index into them.
        salt: Of the hash that assigned the groups.
        fractions: Share per split.
        class_names: Names of label 0 and label 1 in the source.
        data_digest: 64 hex digits; see the module.
    """

    table: pa.Table
    roots: tuple[str, ...]
    salt: str
    fractions: dict[str, float]
    class_names: tuple[str, str]
    data_digest: str

    def rows(self, *splits: str, allowed: Sequence[str], unlabeled: bool = False) -> Rows:
        """Return the rows of these splits, in the manifest's order.

        Args:
            splits: Names out of SPLITS.
            allowed: The splits that the calling step may see; each step states its own.
            unlabeled: Whether rows without label are among them.

        Raises:
            SplitForbidden: A split is not among `allowed`.
        """
        forbidden = [split for split in splits if split not in allowed]
        if forbidden:
            raise SplitForbidden(
                f"This step may see {', '.join(allowed)}, but asked for {', '.join(forbidden)}. "
                "Data that chose or trained a model cannot test it: take another split."
            )
        wanted = pc.field("split").isin(list(splits))
        if not unlabeled:
            wanted &= pc.field("label") >= 0
        return Rows(self.table.filter(wanted), self.roots)

    def write(self, path: Path) -> None:
        """Write the parquet file; equal manifests give equal bytes."""
        meta = {
            "schema": _VERSION,
            "salt": self.salt,
            "fractions": self.fractions,
            "data_digest": self.data_digest,
            "roots": self.roots,
            "class_names": self.class_names,
        }
        metadata = {_KEY: json.dumps(meta, sort_keys=True, allow_nan=False).encode()}
        table = self.table.cast(SCHEMA).replace_schema_metadata(metadata)
        pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read and check a manifest.

        Raises:
            BadArtifact: No such file, not a manifest, another schema, impossible values, or rows that were changed.
        """
        if not path.is_file():
            raise BadArtifact(f"Need a manifest at {path}, found no file. Run `stage1 split` first.")
        try:
            table = pq.read_table(path, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise BadArtifact(f"Need a manifest (parquet) at {path}, got something else: {error}") from error
        meta = _metadata(table, path)
        _check_columns(table, path)
        table = table.replace_schema_metadata(None)
        fractions = meta.fractions.model_dump()
        _check_places(table, len(meta.roots), path)
        manifest = cls(table, meta.roots, meta.salt, fractions, meta.class_names, meta.data_digest)
        if data_digest(table) != manifest.data_digest:
            raise BadArtifact(
                f"The rows of {path} do not match its data digest: it was changed. Run `stage1 split` again."
            )
        return manifest


def data_digest(table: pa.Table) -> str:
    """Return the SHA-256 over digests, labels, synthetic marks and groups of a table sorted as a manifest is."""
    state = hashlib.sha256(b"stage1/data/v2\n%d\n" % table.num_rows)
    for chunk in table["digest"].chunks:
        state.update(_bytes(chunk.buffers()[1], chunk.offset * 32, (chunk.offset + len(chunk)) * 32))
    for values, kind in (
        (table["label"], np.int8),
        (table["synthetic"], np.int8),
        (pc.binary_length(table["group"]), "<i4"),
    ):
        for chunk in values.chunks:
            state.update(chunk.to_numpy(zero_copy_only=False).astype(kind).tobytes())
    for chunk in table["group"].chunks:
        offsets = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if len(chunk):
            state.update(_bytes(chunk.buffers()[2], int(offsets[0]), int(offsets[-1])))
    return state.hexdigest()


def _bytes(buffer: pa.Buffer | None, start: int, end: int) -> memoryview:
    return memoryview(buffer or b"")[start:end]


def _metadata(table: pa.Table, path: Path) -> _Metadata:
    raw = (table.schema.metadata or {}).get(_KEY)
    if raw is None:
        raise BadArtifact(f"{path} is parquet but no manifest: it has no stage1 metadata. Pass it to `stage1 split`.")
    try:
        return _Metadata.model_validate_json(raw)
    except ValidationError as error:
        raise BadArtifact(f"The metadata of {path} is not that of a manifest: {error}") from error


def _check_columns(table: pa.Table, path: Path) -> None:
    if table.schema.names != SCHEMA.names:
        raise BadArtifact(f"Need columns {', '.join(SCHEMA.names)} in {path}, got {', '.join(table.schema.names)}.")
    for field in SCHEMA:
        column = table[field.name]
        if column.type != field.type or column.null_count:
            raise BadArtifact(
                f"Need column {field.name} of {path} as {field.type} without nulls, "
                f"got {column.type} with {column.null_count}."
            )
    for name, known in (("label", [-1, 0, 1]), ("split", list(SPLITS))):
        strange = [value for value in pc.unique(table[name]).to_pylist() if value not in known]
        if strange:
            raise BadArtifact(f"Need column {name} of {path} out of {known}, got {strange[:5]}.")


def _check_places(table: pa.Table, num_roots: int, path: Path) -> None:
    """Every row has a root, and what may only train is in train."""
    least, most = pc.min_max(table["root"]).as_py().values() if table.num_rows else (0, 0)
    if least < 0 or most >= max(num_roots, 1):
        raise BadArtifact(f"Need column root of {path} to be an index into {num_roots} roots, got {least} to {most}.")
    held_out = pc.not_equal(table["split"], "train")
    for what, rows in (("synthetic", table["synthetic"]), ("unlabeled", pc.less(table["label"], 0))):
        wrong = pc.sum(pc.and_(held_out, rows)).as_py() or 0
        if wrong:
            raise BadArtifact(
                f"{wrong:,} {what} images of {path} are in a split that is held out; they may train and nothing else. "
                "Run `stage1 split` again."
            )
