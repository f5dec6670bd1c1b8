"""`stage1 decide` and `stage1 bundle ...`: what a consumer does with a bundle. Needs no torch."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Bundles: check one, look into one.", no_args_is_help=True)
_URI = typer.Argument(help="A bundle's folder, or a channel: STORE/channels/NAME.json.")


def register(parent: typer.Typer) -> None:
    """Add `stage1 decide`."""
    parent.command()(decide)


def decide(
    bundle: Annotated[str, _URI],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Ask a bundle about images: an answer, or a deferral to the second stage."""
    from rich.console import Console
    from rich.table import Table

    from stage1.bundle import Bundle

    answers = Bundle.load(bundle).decide(images)
    if json_lines:
        for path, answer in zip(images, answers, strict=True):
            typer.echo(json.dumps({"image": str(path), **dataclasses.asdict(answer)}))
        return
    table = Table("image", "answer", "label", "P(positive)")
    for path, answer in zip(images, answers, strict=True):
        table.add_row(
            str(path), answer.answer, answer.label or " or ".join(answer.label_set), f"{answer.probability:.4f}"
        )
    Console().print(table)


@app.command()
def verify(uri: Annotated[str, _URI]) -> None:
    """Check every byte of a bundle, load it and reproduce its canaries; exit 2 with the reason if anything is wrong."""
    from stage1.bundle import Bundle

    typer.echo(f"good: {Bundle.load(uri).digest}")


@app.command()
def show(uri: Annotated[str, _URI]) -> None:
    """Print what a bundle says of itself, as JSON."""
    from stage1.bundle import verify as verified

    typer.echo(json.dumps(verified(uri).manifest.document, indent=2, sort_keys=True))
