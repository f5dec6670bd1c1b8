"""Which shards a manifest is packed into, how they are called, and the index that makes a set of them complete.

Rows are packed in the manifest's order, which is that of their content digests and so a mixture of everything. Every
split is a series of shards of its own, and unlabelled rows are another, so that no step fetches what it may not see.
The plan is a pure function of the manifest: a packing that was stopped finds what it has done by name, and a name
carries the digest of its rows, so that nothing of another manifest passes for it.

    <uri>/index.json                            written last
    <uri>/train-00000-3f1c09d2a7b4e655.tar      a tar file as webdataset writes it: <id>.cls and <id>.<format> a row
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage1.data.manifest import Rows
from stage1.errors import BadArtifact

INDEX = "index.json"
MAX_INDEX_BYTES = 2**28


class Shard(BaseModel):
    """One object: `num_rows` rows in `num_bytes` bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[a-z_-]+-\d{5,}-[0-9a-f]{16}\.tar$")
    num_rows: int = Field(ge=1)
    num_bytes: int = Field(ge=1)


class ShardIndex(BaseModel):
    """What is packed under one address: the shards of each series, in the manifest's order."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    version: str = Field(default="stage1/shards/v1", alias="schema", pattern=r"^stage1/shards/v1$")
    data_digest: str
    series: dict[str, tuple[Shard, ...]]

    def to_bytes(self) -> bytes:
        """Return the JSON text that from_bytes reads."""
        return self.model_dump_json(by_alias=True, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, address: str) -> "ShardIndex":
        """Read an index.

        Raises:
            BadArtifact: It is none.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadArtifact(
                f"{address} is no index of shards: {error} Pack again with `stage1 data shard`."
            ) from error


@dataclass(frozen=True)
class Planned:
    """Rows that go into one shard: their indices in the Rows that were planned for, and the shard's key."""

    key: str
    rows: NDArray[np.int64]


def series_of(rows: Rows) -> dict[str, NDArray[np.int64]]:
    """Return the indices of the rows of each series, in their order."""
    label_N = rows.table["label"].to_numpy()
    split_N = rows.splits
    series = {}
    for split in sorted(set(split_N)):
        for name, chosen_N in ((split, label_N >= 0), (f"{split}-unlabeled", label_N < 0)):
            members = np.flatnonzero((split_N == split) & chosen_N)
            if len(members):
                series[name] = members
    return series


def plan(rows: Rows, megapixels: float) -> dict[str, list[Planned]]:
    """Return the shards of every series: as many rows in order as stay within `megapixels`, at least one.

    Pixels stand for bytes, which the manifest does not know, and for the time that decoding takes.
    """
    pixels_N = rows.table["width"].to_numpy().astype(np.int64) * rows.table["height"].to_numpy()
    planned = {}
    for name, members in series_of(rows).items():
        cuts = list(_cuts(pixels_N[members], megapixels * 1e6))
        parts = np.split(members, cuts)
        planned[name] = [
            Planned(f"{name}-{number:05d}-{rows_digest(rows, part)[:16]}.tar", part)
            for number, part in enumerate(parts)
        ]
    return planned


def rows_digest(rows: Rows, members: NDArray[np.int64]) -> str:
    """Return the SHA-256 over ids, labels and content digests of these rows."""
    table = rows.table.select(["id", "label", "digest"]).take(pa.array(members))
    state = hashlib.sha256(b"stage1/shard-rows/v1\n%d\n" % len(members))
    state.update("\n".join(table["id"].to_pylist()).encode())
    state.update(table["label"].to_numpy().astype(np.int8).tobytes())
    state.update(b"".join(table["digest"].to_pylist()))
    return state.hexdigest()


def _cuts(pixels_N: NDArray[np.int64], limit: float) -> Iterator[int]:
    """Yield where a new shard begins."""
    total = 0
    for index, pixels in enumerate(pixels_N.tolist()):
        if total and total + pixels > limit:
            yield index
            total = 0
        total += pixels
