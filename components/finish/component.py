from kfp import dsl

from components import component


@component
def finish(ending: dsl.Output[dsl.Markdown], status: dsl.PipelineTaskFinalStatus) -> None:
    """Record how the run ended; the exit handler, which runs whatever happened before.

    Args:
        ending: One line about the end of the run, for the KFP UI.
        status: State and error of the pipeline inside, given by KFP.
    """
    from pathlib import Path

    message = f": {status.error_message}" if status.error_message else ""
    Path(ending.path).write_text(f"The run ended as **{status.state}**{message}\n", encoding="utf-8")
