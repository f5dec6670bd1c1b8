from kfp import dsl

from components import component


@component
def evaluate(
    predictions: dsl.Input[dsl.Dataset],
    policies: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    config: str = "",
) -> None:
    """Measure every exit policy on val_test, with intervals and bounds, beside the champion.

    Args:
        predictions: Folder with predictions.parquet, model.onnx, the thumbnails of the worst errors and the canaries.
        policies: Folder with thresholds.json, gateparams.json, scrcparams.json, policies.json and prices.json.
        evaluation: Folder with metrics.json and curves.json, from val_test.
        metrics: Coverage, FNR with its bound and AUGRC on val_test, for the KFP UI.
        curves: ROC of the uncalibrated logits and confusion of the chosen policy's answers, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    import json
    from pathlib import Path

    from stage1.steps.evaluate import evaluate as step
    from stage1.steps.step import read_config

    result = step(Path(predictions.path), Path(policies.path), Path(evaluation.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
    drawn = json.loads(Path(evaluation.path, "curves.json").read_text(encoding="utf-8"))
    measured = json.loads(Path(evaluation.path, "metrics.json").read_text(encoding="utf-8"))
    curves.log_roc_curve(**drawn["roc"])
    of = measured["policies"][measured["chosen"]]["confusion"]
    curves.log_confusion_matrix(
        ["road work", "other", "deferred"],
        [
            [of["answered_tp"], of["answered_fn"], of["deferred_pos"]],
            [of["answered_fp"], of["answered_tn"], of["deferred_neg"]],
            [0, 0, 0],
        ],
    )
