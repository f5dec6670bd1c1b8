from kfp import dsl

from components import component


@component
def predict(
    manifest: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    predictions: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    config: str = "",
) -> None:
    """Write the logits of every validation image, the ONNX model and the champion's logits: the last step with images.

    Args:
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        model: Folder with the trained model: safetensors, its configuration, the history.
        predictions: Folder with predictions.parquet, model.onnx, the thumbnails of the worst errors and the canaries.
        metrics: Agreement of ONNX with torch, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.predict import predict as step
    from stage1.steps.step import read_config

    result = step(Path(manifest.path), Path(model.path), Path(predictions.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
