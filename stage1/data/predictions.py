"""predictions.parquet: what a model said of every held-out image. GPU work ends in this file.

Shapes: N images, 2 classes.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stage1.errors import BadArtifact, SplitForbidden

HELD_OUT = ("val_select", "val_calib", "val_test")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("logit_0", pa.float32(), nullable=False),
        pa.field("logit_1", pa.float32(), nullable=False),
        pa.field("gate", pa.float32(), nullable=False),
    ]
)
_KEY = b"stage1"


@dataclass(frozen=True)
class PredictionTable:
    """Predictions on the held-out splits.

    Attributes:
        table: Columns of SCHEMA.
        data_digest: Of the data set that the images are from.
        model_digest: Of the model that spoke.
    """

    table: pa.Table
    data_digest: str
    model_digest: str

    def split(self, name: str, *, allowed: tuple[str, ...]) -> "PredictionTable":
        """Return the rows of one split.

        Raises:
            SplitForbidden: The step that asks may not see it.
        """
        if name not in allowed:
            raise SplitForbidden(f"this step may see {', '.join(allowed)}, but asked for {name}.")
        return PredictionTable(self.table.filter(pc.field("split") == name), self.data_digest, self.model_digest)

    @property
    def logits_N2(self) -> NDArray[np.float64]:
        """(z0, z1), exact float32 values in float64."""
        return np.column_stack([self.numbers_N("logit_0"), self.numbers_N("logit_1")])

    def numbers_N(self, column: str) -> NDArray[np.float64]:
        """A numeric column in float64."""
        return np.asarray(self.table[column].to_numpy(), dtype=np.float64)

    def strings_N(self, column: str) -> NDArray[np.object_]:
        """A text column."""
        return np.asarray(self.table[column].to_numpy(zero_copy_only=False), dtype=np.object_)

    @property
    def labels_N(self) -> NDArray[np.int8]:
        """0 or 1."""
        return np.asarray(self.table["label"].to_numpy(), dtype=np.int8)

    @property
    def images_digest(self) -> str:
        """SHA-256 over ids and labels: identifies a test split whatever model looked at it."""
        pairs = sorted(zip(self.table["id"].to_pylist(), self.table["label"].to_pylist(), strict=True))
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the parquet file; equal tables give equal bytes."""
        meta = json.dumps({"data_digest": self.data_digest, "model_digest": self.model_digest}, sort_keys=True)
        pq.write_table(self.table.cast(SCHEMA).replace_schema_metadata({_KEY: meta.encode()}), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> "PredictionTable":
        """Read and check the file.

        Raises:
            BadArtifact: Missing, not such a file, or with labels, splits or numbers that cannot be.
        """
        try:
            table = pq.read_table(path, partitioning=None)
            meta = json.loads((table.schema.metadata or {})[_KEY])
            checked = cls(_checked(table), meta["data_digest"], meta["model_digest"])
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise BadArtifact(
                f"{path} is not the predictions of the predict step: {error}. Run predict again."
            ) from error
        for column in ("logit_0", "logit_1", "gate"):
            bad = np.flatnonzero(~np.isfinite(checked.numbers_N(column)))
            if len(bad):
                name = checked.table["id"][int(bad[0])].as_py()
                raise BadArtifact(
                    f"{path}: {column} is not finite for {len(bad)} images, the first is {name}. The model diverged: "
                    "train with a lower learning rate."
                )
        return checked


def _checked(table: pa.Table) -> pa.Table:
    """The columns of SCHEMA, without nulls, with labels 0 and 1 and held-out splits only."""
    table = table.replace_schema_metadata(None).select(SCHEMA.names)
    if empty := [name for name in SCHEMA.names if table[name].null_count]:
        raise ValueError(f"column {empty[0]} has nulls")
    for name, allowed in (("label", (0, 1)), ("split", HELD_OUT)):
        if foreign := set(pc.unique(table[name]).to_pylist()) - set(allowed):
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {foreign.pop()!r}")
    return table.cast(SCHEMA)
