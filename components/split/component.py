from kfp import dsl

from components import component


@component
def split(
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    data: str,
    config: str = "",
) -> None:
    """Put every image into train, val_select, val_calib or val_test, groups whole, by a salted hash.

    Args:
        data: Path or s3:// of a folder with one sub-folder a class, a CSV or parquet sheet with path, label and
            optional group, Hugging Face parquet, or COCO or YOLO annotations.
        manifest: Folder with manifest.parquet (id, uri, digest, label, group, split of every image) and split.json.
        metrics: Sizes of the splits, for the KFP UI.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.split import split as step
    from stage1.steps.step import read_config

    result = step(data, Path(manifest.path), config=read_config(step, config))
    for name, value in result.metrics().items():
        metrics.log_metric(name, value)
