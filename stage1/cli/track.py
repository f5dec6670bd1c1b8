"""`stage1 track`: send to MLflow what a run kept for it."""

from pathlib import Path
from typing import Annotated

import typer

from stage1.errors import BadInput


def register(parent: typer.Typer) -> None:
    """Add `stage1 track`."""
    parent.command()(track)


def track(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of its report or promote step.")],
    uri: Annotated[str, typer.Option(help="MLflow tracking URI; empty: what the run was configured with.")] = "",
) -> None:
    """Send to MLflow what a run recorded while MLflow could not be reached; what is there already stays as it is."""
    from stage1.tracking import find_kept, send_kept

    kept = list(find_kept(folder))
    if not kept:
        raise BadInput(f"{folder} holds no mlflow/run.json or mlflow/promotion.json: give the folder of a tracked run.")
    for path in kept:
        typer.echo(f"{path}: {send_kept(path, uri)}")
