from kfp import dsl

from components import component


@component
def calibrate(
    predictions: dsl.Input[dsl.Dataset],
    policies: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    config: str = "",
) -> None:
    """Fit the three exit policies (softmax thresholds, calibrated gate, SCRC) on val_calib, as planned on val_select.

    Args:
        predictions: Folder with predictions.parquet, model.onnx, the thumbnails of the worst errors and the canaries.
        policies: Folder with thresholds.json, gateparams.json, scrcparams.json, policies.json and prices.json.
        metrics: Coverage and threshold of each policy on val_calib, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.calibrate import calibrate as step
    from stage1.steps.step import read_config

    result = step(Path(predictions.path), Path(policies.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
