"""Tell the run: one page for people, one record in MLflow. After the gate, so that the page starts with its verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage1.config import ReportConfig
from stage1.report import Story, render, verdict_markdown
from stage1.steps.artifact import provenance, read_artifact
from stage1.steps.documents import read_json, write_json
from stage1.steps.step import StepResult, step
from stage1.tracking import RunRecord, record_run


@dataclass(frozen=True)
class Reported(StepResult):
    """Where the run is recorded; "" where recording is off or MLflow could not be reached."""

    mlflow_run: str


@step(reuse=False)
def report(
    manifest: Path,
    backbone: Path,
    model: Path,
    predictions: Path,
    policies: Path,
    evaluation: Path,
    decision: Path,
    out: Path,
    *,
    config: ReportConfig = ReportConfig(),
) -> Reported:
    """Write report.html and record the run.

    Args:
        manifest, backbone, model, predictions, policies, evaluation, decision: Output folders of the steps before.
        out: Receives report.html, verdict.md, report.json (id of the MLflow run) and mlflow/ (the record).
        config: Title and tracking.
    """
    folders = {
        "manifest": manifest,
        "backbone": backbone,
        "model": model,
        "predictions": predictions,
        "policies": policies,
        "evaluation": evaluation,
        "decision": decision,
    }
    story = _story(folders, config)
    page = out / "report.html"
    page.write_text(render(story), encoding="utf-8")
    (out / "verdict.md").write_text(
        verdict_markdown(story.decision, story.metrics, _facts(story, config)), encoding="utf-8"
    )
    run_id = record_run(config.tracking, _record(folders, story, config, page), out)
    write_json(out / "report.json", {"schema": "stage1/report/v1", "mlflow_run": run_id})
    return Reported(run_id)


def _story(folders: dict[str, Path], config: ReportConfig) -> Story:
    backbone, predictions, policies = folders["backbone"], folders["predictions"], folders["policies"]
    summary = read_json(policies / "policies.json")
    pretrain = read_json(backbone / "history.json")
    return Story(
        split=read_json(folders["manifest"] / "split.json"),
        history=read_json(folders["model"] / "history.json"),
        pretrain=pretrain if pretrain["rows"] else None,
        reconstructions_png=(backbone / "reconstructions.png").read_bytes() if pretrain["rows"] else None,
        metrics=read_json(folders["evaluation"] / "metrics.json"),
        curves=read_json(folders["evaluation"] / "curves.json"),
        decision=read_json(folders["decision"] / "decision.json"),
        policies={name: read_json(policies / entry["file"]) for name, entry in summary["policies"].items()},
        agreement=read_json(predictions / "agreement.json"),
        thumbnails={path.stem: path.read_bytes() for path in sorted((predictions / "thumbnails").glob("*.jpg"))},
        provenance=provenance(folders),
        title=f"stage1 {config.channel}",
    )


def _facts(story: Story, config: ReportConfig) -> dict[str, object]:
    return {
        "Channel": config.channel,
        "Commit": story.provenance["commit"],
        "Run": story.provenance["run"] or "not known",
        "Code": story.provenance["code"],
        "Data": story.provenance["data_digest"],
        "Model": story.metrics["model_digest"],
    }


def _record(folders: dict[str, Path], story: Story, config: ReportConfig, page: Path) -> RunRecord:
    decision, metrics = story.decision, story.metrics
    key = read_artifact(folders["decision"], "decision").digest
    chosen = metrics["policies"][metrics["chosen"]]
    numbers = {
        "val_test/coverage": chosen["coverage"]["value"],
        "val_test/fnr_answered": chosen["fnr_answered"]["value"],
        "val_test/fnr_answered_upper": chosen["fnr_answered"]["upper"],
        "val_test/fpr_answered_upper": chosen["fpr_answered"]["upper"],
        "val_test/augrc": chosen["augrc"]["value"],
        "val_test/accuracy": metrics["model"]["accuracy"]["value"],
        "val_test/auroc": metrics["model"]["auroc"]["value"],
    }
    history = story.history["rows"] if story.history else []
    curves = {
        f"train/{name}": [row[name] for row in history]
        for name in ("loss", "learning_rate", "val_augrc", "val_accuracy", "val_auroc")
    }
    return RunRecord(
        key=key,
        name=config.tracking.run_name or f"{config.channel}-{str(story.provenance['digests']['train'])[:8]}",
        params=dict(_flat(story.provenance["config"])),
        curves={**{name: [value] for name, value in numbers.items()}, **curves},
        tags={
            "stage1.verdict": "promoted" if decision["promote"] else "refused",
            "stage1.policy": str(decision["policy"]),
            "stage1.data_digest": str(story.provenance["data_digest"]),
            "stage1.commit": str(story.provenance["commit"]),
            "stage1.run": str(story.provenance["run"]),
        },
        artifacts=[page, folders["decision"] / "decision.json", folders["evaluation"] / "metrics.json"],
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
