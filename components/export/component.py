from kfp import dsl

from components import component


@component
def export(
    manifest: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    predictions: dsl.Input[dsl.Dataset],
    policies: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    bundle: dsl.Output[dsl.Artifact],
    config: str = "",
) -> None:
    """Put the model, the chosen policy, the decision and their digests into a bundle.

    Args:
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        model: Folder with the trained model: safetensors, its configuration, the history.
        predictions: Folder with predictions.parquet, model.onnx, the thumbnails of the worst errors and the canaries.
        policies: Folder with thresholds.json, gateparams.json, scrcparams.json, policies.json and prices.json.
        evaluation: Folder with metrics.json and curves.json, from val_test.
        decision: Folder with decision.json.
        bundle: Folder with the bundle, everything a consumer needs.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.export import export as step
    from stage1.steps.step import read_config

    step(
        Path(manifest.path),
        Path(model.path),
        Path(predictions.path),
        Path(policies.path),
        Path(evaluation.path),
        Path(decision.path),
        Path(bundle.path),
        config=read_config(step, config),
    )
