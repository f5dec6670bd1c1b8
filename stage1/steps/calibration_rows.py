"""From predictions.parquet to what policies are fitted on, read in pieces: ten million rows stay below a gigabyte.

val_test is never turned into numbers here.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stage1.errors import BadArtifact, BadData
from stage1.policy import Predictions

SEEN = ("val_calib", "val_select")
_COLUMNS = ("split", "label", "logit_0", "logit_1", "gate", "group")
_ROWS_AT_A_TIME = 1 << 17


def calibration_rows(path: Path) -> dict[str, Predictions]:
    """Return the rows of val_calib and val_select; either may be empty.

    Raises:
        BadArtifact: Missing, not the predict step's file, or with labels or numbers that cannot be.
    """
    try:
        pieces = _pieces(path)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BadArtifact(f"{path} is not the predictions of the predict step: {error}. Run predict again.") from error
    try:
        return {split: _predictions(pieces.pop(split)) for split in SEEN}
    except BadData as error:
        raise BadArtifact(
            f"{path}: {error} If numbers are not finite the model diverged: train with a lower learning rate."
        ) from error


def _pieces(path: Path) -> dict[str, list[pa.RecordBatch]]:
    """Return each split's rows as batches of the columns that are needed; groups stay dictionaries."""
    pieces: dict[str, list[pa.RecordBatch]] = {split: [] for split in SEEN}
    with pq.ParquetFile(path, read_dictionary=["split", "group"]) as file:
        if missing := set(_COLUMNS) - set(file.schema_arrow.names):
            raise ValueError(f"column {sorted(missing)[0]} is missing")
        for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=list(_COLUMNS)):
            if empty := [name for name in _COLUMNS if batch.column(name).null_count]:
                raise ValueError(f"column {empty[0]} has nulls")
            names = batch.column("split").dictionary.to_pylist()
            codes = batch.column("split").indices.to_numpy()
            for split in SEEN:
                if split in names:
                    chosen = codes == names.index(split)
                    pieces[split].append(batch.drop_columns(["split"]).filter(pa.array(chosen)))
    return pieces


def _predictions(batches: list[pa.RecordBatch]) -> Predictions:
    """Join batches column by column and forget each as it is joined."""
    num_rows = sum(batch.num_rows for batch in batches)
    logits, gate = np.empty((num_rows, 2), np.float32), np.empty(num_rows, np.float32)
    labels, groups = np.empty(num_rows, np.int8), np.empty(num_rows, np.int32)
    known: dict[str, int] = {}
    start = 0
    for batch in batches:
        rows = slice(start, start + batch.num_rows)
        logits[rows, 0], logits[rows, 1] = batch.column("logit_0").to_numpy(), batch.column("logit_1").to_numpy()
        gate[rows], labels[rows] = batch.column("gate").to_numpy(), batch.column("label").to_numpy()
        group = batch.column("group")
        numbers = np.array([known.setdefault(name, len(known)) for name in group.dictionary.to_pylist()], np.int32)
        groups[rows] = numbers[group.indices.to_numpy()]
        start = rows.stop
    batches.clear()
    # Groups are numbered by name, so that the order of rows in the file changes nothing.
    rank = np.empty(len(known), np.int32)
    rank[[known[name] for name in sorted(known)]] = np.arange(len(known), dtype=np.int32)
    return Predictions(logits, labels, gate, rank[groups] if num_rows else groups)
