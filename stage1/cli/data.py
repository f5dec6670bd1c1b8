"""`stage1 data ...`: data sets."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Data sets: draw the demo's street scenes.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Data sets."""


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write images/ and labels.csv to.")],
    num_drives: Annotated[int, typer.Option(help="Drives; each is one group that shares a look.")] = 500,
    frames_per_drive: Annotated[int, typer.Option(help="Images a drive.")] = 24,
    image_size: Annotated[int, typer.Option(help="Side of an image in pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed draws the same bytes.")] = 0,
) -> None:
    """Draw street scenes with and without road works, deterministic by seed."""
    from stage1.data.synth import SynthConfig, synthesize

    summary = synthesize(
        out,
        SynthConfig(num_drives=num_drives, frames_per_drive=frames_per_drive, image_size=image_size, seed=seed),
    )
    typer.echo(f"{summary.num_images:,} images, {summary.num_positives:,} with road works, in {out}")
