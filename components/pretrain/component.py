from kfp import dsl

from components import component


@component
def pretrain(
    manifest: dsl.Input[dsl.Dataset],
    backbone: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    config: str = "",
) -> None:
    """Adapt the backbone to the training images without their labels, by masked reconstruction.

    Args:
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        backbone: Folder with the pre-trained backbone: safetensors, its configuration, the loss curve.
        metrics: Reconstruction loss, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.pretrain import pretrain as step
    from stage1.steps.step import read_config

    result = step(Path(manifest.path), Path(backbone.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
