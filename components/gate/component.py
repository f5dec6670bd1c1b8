from kfp import dsl

from components import component


@component
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    config: str = "",
) -> bool:
    """Hold the measurements against the limits and decide whether this model may be promoted.

    Args:
        evaluation: Folder with metrics.json and curves.json, from val_test.
        decision: Folder with decision.json.
        config: JSON of the step's configuration; empty means its defaults.

    Returns:
        Whether the model may be promoted.
    """
    from pathlib import Path

    from stage1.steps.gate import gate as step
    from stage1.steps.step import read_config

    result = step(Path(evaluation.path), Path(decision.path), config=read_config(step, config))
    return result.promote
