from kfp import dsl

from components import component


@component
def train(
    manifest: dsl.Input[dsl.Dataset],
    backbone: dsl.Input[dsl.Model],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    config: str = "",
) -> None:
    """Train the classifier and its gate on train; keep the epoch that ranks its mistakes best on val_select.

    Args:
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        backbone: Folder with the pre-trained backbone: safetensors, its configuration, the loss curve.
        model: Folder with the trained model: safetensors, its configuration, the history.
        metrics: Best scores on val_select, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.step import read_config
    from stage1.steps.train import train as step

    result = step(Path(manifest.path), Path(backbone.path), Path(model.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
