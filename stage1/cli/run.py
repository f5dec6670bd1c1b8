"""`stage1 run`, `stage1 config` and `stage1 plan`: the whole path on one machine, without Kubeflow."""

import os
from pathlib import Path
from typing import Annotated

import typer

from stage1 import events
from stage1.cli.options import ConfigFile, Overrides, Preset, config_text
from stage1.cli.plan import plan
from stage1.errors import BadInput


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(config)
    app.command()(plan)


def run(
    data: Annotated[str, typer.Option(help="Folder with one sub-folder per class, or a .csv or .parquet sheet.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the run; run again with it, it goes on from what is done.")
    ] = Path("runs/latest"),
    preset: Preset = "demo",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Go the whole way in this process: from a folder of images to a promoted (or refused) bundle."""
    from stage1.console import refused, summary, watching
    from stage1.steps import STEPS
    from stage1.steps.path import walk
    from stage1.steps.run_id import VARIABLE, id_of

    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; give a folder.")
    out.mkdir(parents=True, exist_ok=True)
    record = out / "events.jsonl"
    record.unlink(missing_ok=True)
    os.environ[events.VARIABLE] = str(record.absolute())
    os.environ["STAGE1_CACHE"] = str((out / "cache").absolute())
    os.environ[VARIABLE] = id_of(out)
    with watching(record, plan=STEPS):
        folders = walk(data, out / "steps", preset=preset, config=config_text(config_file), overrides=overrides or [])
    typer.echo(f"\n{summary(folders)}")
    if refused(folders):
        raise typer.Exit(3)


def config(preset: Preset = "", config_file: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print the whole configuration as it would be used, with its defaults."""
    from stage1.config import Config

    typer.echo(Config.compose(preset, config_text(config_file), overrides or []).to_yaml(), nl=False)
