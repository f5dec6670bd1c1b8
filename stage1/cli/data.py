"""`stage1 data ...`: data sets."""

from pathlib import Path
from typing import Annotated

import typer

from stage1.cli import shard
from stage1.cli.options import ConfigFile, Overrides, Preset, config_text

app = typer.Typer(help="Data sets: look at one, pack one, draw the demo's street scenes.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Data sets."""


shard.register(app)


@app.command("inspect")
def look(
    data: Annotated[
        str, typer.Argument(help="As for `stage1 split`: a folder, sheet, parquet or COCO file; or s3://.")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with a contact sheet to this file.", dir_okay=False)
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, max=200, help="Pictures of each kind on the contact sheet.")] = 24,
    preset: Preset = "",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Count images, sizes, copies, near-duplicates and classes, and say what the split would be. Writes no manifest."""
    from stage1.config.tree import Config
    from stage1.data.inspect import inspect
    from stage1.report.inspection import inspection_page, inspection_text

    config = Config.compose(preset, config_text(config_file), overrides or [])
    found = inspect(data, config.split, per_kind=pictures)
    typer.echo(inspection_text(found.report))
    if html is not None:
        sheet = [(picture.kind, picture.uri, picture.jpeg) for picture in found.sheet]
        html.write_text(inspection_page(found.report, sheet), encoding="utf-8")
        typer.echo(f"\nPage: {html}")


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
