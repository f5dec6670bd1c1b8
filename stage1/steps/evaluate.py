"""Measure the model, its three policies and the champion on val_test."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stage1.data.predictions import PredictionTable
from stage1.errors import BadArtifact, BadData
from stage1.evaluation import EvaluateConfig
from stage1.evaluation.champion import Champion
from stage1.evaluation.curves import curves
from stage1.evaluation.judge import judge
from stage1.evaluation.rows import TestRows
from stage1.policy import load_policy
from stage1.steps.documents import write_json
from stage1.steps.rows import held_out_rows
from stage1.steps.step import StepResult, step

_SEES = ("val_test",)


@dataclass(frozen=True)
class Evaluated(StepResult):
    """The chosen policy on val_test."""

    chosen: str
    coverage: float
    fnr_answered: float | None
    fnr_answered_upper: float | None
    fpr_answered_upper: float | None
    augrc: float
    accuracy: float
    auroc: float | None


@step()
def evaluate(predictions: Path, policies: Path, out: Path, *, config: EvaluateConfig = EvaluateConfig()) -> Evaluated:
    """Compute every number that the gate and the report need, with intervals.

    Args:
        predictions: Output folder of the predict step; only its val_test rows are seen.
        policies: Output folder of the calibrate step.
        out: Receives metrics.json and curves.json.
        config: Confidence, resamples, tables.
    """
    table = PredictionTable.read(predictions / "predictions.parquet")
    test = table.split("val_test", allowed=_SEES)
    rows = held_out_rows(test)
    if not len(rows):
        raise BadData(
            "val_test is empty, so nothing can be measured. Give split.fractions.val_test more, or more data."
        )
    summary = json.loads((policies / "policies.json").read_text(encoding="utf-8"))
    loaded = {name: load_policy(policies / entry["file"]) for name, entry in summary["policies"].items()}
    metrics = judge(
        rows,
        loaded,
        summary["chosen"],
        data_digest=table.data_digest,
        model_digest=table.model_digest,
        val_test_digest=test.images_digest,
        champion=_champion(predictions, rows),
        config=config,
    )
    write_json(out / "metrics.json", metrics)
    write_json(out / "curves.json", curves(rows, loaded, config))
    ships = metrics["policies"][metrics["chosen"]]
    return Evaluated(
        chosen=metrics["chosen"],
        coverage=ships["coverage"]["value"],
        fnr_answered=ships["fnr_answered"]["value"],
        fnr_answered_upper=ships["fnr_answered"]["upper"],
        fpr_answered_upper=ships["fpr_answered"]["upper"],
        augrc=ships["augrc"]["value"],
        accuracy=metrics["model"]["accuracy"]["value"],
        auroc=metrics["model"]["auroc"]["value"],
    )


def _champion(predictions: Path, rows: TestRows) -> Champion | None:
    if not (predictions / "champion.json").is_file():
        return None
    record = json.loads((predictions / "champion.json").read_text(encoding="utf-8"))
    table = pq.read_table(predictions / "champion.parquet")
    if table["id"].to_pylist() != rows.ids_N.tolist():
        raise BadArtifact("champion.parquet is not about the images of val_test. Run predict again.")
    logits_N2 = np.column_stack([table["logit_0"].to_numpy(), table["logit_1"].to_numpy()]).astype(np.float64)
    seen = TestRows(
        rows.ids_N, rows.groups_N, rows.sources_N, rows.labels_N, logits_N2, table["gate"].to_numpy().astype(np.float64)
    )
    return Champion(
        digest=record["digest"],
        sequence=record["sequence"],
        policy_name=record["policy_name"],
        policy=load_policy(record["policy"]),
        rows=seen,
        model_digest=record["model_digest"],
    )
