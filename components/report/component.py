from kfp import dsl

from components import component


@component
def report(
    manifest: dsl.Input[dsl.Dataset],
    backbone: dsl.Input[dsl.Model],
    model: dsl.Input[dsl.Model],
    predictions: dsl.Input[dsl.Dataset],
    policies: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    verdict: dsl.Output[dsl.Markdown],
    config: str = "",
) -> None:
    """Write the report of the run, one page, and log the run to MLflow.

    Args:
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        backbone: Folder with the pre-trained backbone: safetensors, its configuration, the loss curve.
        model: Folder with the trained model: safetensors, its configuration, the history.
        predictions: Folder with predictions.parquet, model.onnx, the thumbnails of the worst errors and the canaries.
        policies: Folder with thresholds.json, gateparams.json, scrcparams.json, policies.json and prices.json.
        evaluation: Folder with metrics.json and curves.json, from val_test.
        decision: Folder with decision.json.
        report: Folder with report.html, verdict.md and the id of the MLflow run.
        page: The report, for the KFP UI.
        verdict: Verdict, checks, policies, channel and commit, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    import shutil
    from pathlib import Path

    from stage1.steps.report import report as step
    from stage1.steps.step import read_config

    step(
        Path(manifest.path),
        Path(backbone.path),
        Path(model.path),
        Path(predictions.path),
        Path(policies.path),
        Path(evaluation.path),
        Path(decision.path),
        Path(report.path),
        config=read_config(step, config),
    )
    shutil.copyfile(Path(report.path, "report.html"), page.path)
    shutil.copyfile(Path(report.path, "verdict.md"), verdict.path)
