"""Whether the exported graph is the trained model: written by predict, where both can run, believed by nobody after.

predict leaves the graph's own numbers for every val_test image beside the model's. export compares the two again, and
asks the policy that ships about both: a bundle is made only where every decision is the same.

Shapes: N images of val_test.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stage1.data.predictions import PredictionTable
from stage1.errors import PromotionRefused
from stage1.policy import ExitPolicy
from stage1.steps.documents import read_json, write_json

TOLERANCE = 1e-4
"""Largest difference of a logit; relative to the largest logit where that is above 1."""

_RECORD = "agreement.json"
_GRAPH = "onnx.parquet"
_COLUMNS = ("logit_0", "logit_1", "gate")


def write_agreement(
    out: Path, ids: list[str], model_N3: NDArray[np.float64], graph_N3: NDArray[np.float64]
) -> tuple[float, bool]:
    """Write the graph's numbers and what they have in common with the model's.

    Args:
        out: Receives agreement.json and onnx.parquet.
        ids: Of the images.
        model_N3: The trained model's two logits and gate logit.
        graph_N3: The same of the exported graph.

    Returns:
        The largest difference, and whether it is tolerated.
    """
    columns = {name: pa.array(graph_N3[:, index], pa.float32()) for index, name in enumerate(_COLUMNS)}
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), **columns}), out / _GRAPH, compression="zstd")
    record = _compared(model_N3, graph_N3)
    write_json(out / _RECORD, record)
    return record["max_logit_difference"], _tolerated(record, graph_N3)


def check_agreement(predictions: Path, policy: ExitPolicy) -> None:
    """Check that the graph gives the model's numbers, and the policy the same decisions by both.

    Args:
        predictions: Output folder of the predict step.
        policy: The one that ships.

    Raises:
        PromotionRefused: It is not recorded, the record is of other images or contradicts the numbers, a logit is too
            far off, or a decision differs.
    """
    for name in (_RECORD, _GRAPH):
        if not (predictions / name).is_file():
            raise PromotionRefused(f"{name} is missing: nobody compared model.onnx with the model. Run predict again.")
    table = PredictionTable.read(predictions / "predictions.parquet").split("val_test", allowed=("val_test",))
    model_N3 = np.column_stack([table.numbers_N(name) for name in _COLUMNS])
    graph_N3 = _graph(predictions / _GRAPH, table.table["id"].to_pylist())
    recorded, found = read_json(predictions / _RECORD), _compared(model_N3, graph_N3)
    if recorded != found:
        raise PromotionRefused(f"{_RECORD} says {recorded}, the numbers beside it give {found}. Run predict again.")
    if not len(graph_N3) or not _tolerated(found, graph_N3):
        raise PromotionRefused(
            f"model.onnx differs from the model by {found['max_logit_difference']:.2g} in a logit on "
            f"{len(graph_N3):,} images of val_test; {TOLERANCE:g} is tolerated, on at least one image."
        )
    by_model, by_graph = (policy.decide(n3[:, :2], n3[:, 2]) for n3 in (model_N3, graph_N3))
    same_N = (by_model.answered == by_graph.answered) & (by_model.set == by_graph.set).all(axis=1)
    same_N &= (by_model.label == by_graph.label) | ~by_model.answered
    if not same_N.all():
        raise PromotionRefused(
            f"model.onnx and the model lead to other decisions on {int((~same_N).sum()):,} of {len(same_N):,} images "
            "of val_test, so its certificate is not that of what ships."
        )


def _graph(path: Path, ids: list[str]) -> NDArray[np.float64]:
    try:
        table = pq.read_table(path, partitioning=None)
        if table["id"].to_pylist() != ids:
            raise ValueError("it is about other images")
        return np.column_stack([np.asarray(table[name].to_numpy(), dtype=np.float64) for name in _COLUMNS])
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise PromotionRefused(
            f"{_GRAPH} does not give model.onnx's numbers on val_test: {error}. Run predict again."
        ) from error


def _compared(model_N3: NDArray[np.float64], graph_N3: NDArray[np.float64]) -> dict[str, Any]:
    """agreement.json; both sides are taken as float32, as they are kept."""
    model, graph = (n3.astype(np.float32).astype(np.float64) for n3 in (model_N3, graph_N3))
    labels = [n3[:, 1] > n3[:, 0] for n3 in (model, graph)]
    return {
        "schema": "stage1/agreement/v1",
        "images": len(graph),
        "max_logit_difference": float(np.abs(model - graph).max(initial=0)),
        "same_label": int((labels[0] == labels[1]).sum()),
        "tolerance": TOLERANCE,
    }


def _tolerated(record: dict[str, Any], graph_N3: NDArray[np.float64]) -> bool:
    """Not so for NaN."""
    return bool(record["max_logit_difference"] <= TOLERANCE * max(1.0, float(np.abs(graph_N3).max(initial=0))))
