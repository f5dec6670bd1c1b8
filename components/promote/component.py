from kfp import dsl

from components import component


@component
def promote(
    bundle: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
    config: str = "",
) -> None:
    """Publish the bundle under its digest and swap the channel to it, atomically.

    Args:
        bundle: Folder with the bundle, everything a consumer needs.
        promotion: Folder with promoted.json: digest, channel, sequence.
        config: JSON of the step's configuration; empty means its defaults.
    """
    from pathlib import Path

    from stage1.steps.promote import promote as step
    from stage1.steps.step import read_config

    step(Path(bundle.path), Path(promotion.path), config=read_config(step, config))
