"""From predictions.parquet to what the evaluation takes."""

from stage1.data.predictions import PredictionTable
from stage1.evaluation.rows import TestRows


def held_out_rows(table: PredictionTable) -> TestRows:
    """The rows of val_test as the evaluation takes them."""
    return TestRows(
        ids_N=table.strings_N("id"),
        groups_N=table.strings_N("group"),
        sources_N=table.strings_N("source"),
        labels_N=table.labels_N,
        logits_N2=table.logits_N2,
        gate_N=table.numbers_N("gate"),
    )
