"""The command line: commands in the order in which a person meets them, and errors without tracebacks."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from stage1 import __version__
from stage1.cli import bundle, channel, data, run, serve, track
from stage1.errors import BadInput, Stage1Error
from stage1.steps import STEPS


class Commands(TyperGroup):
    """Our commands, and one a step, which is imported when it is called: a consumer's install has no torch or scipy."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Steps first, in their order."""
        return [*STEPS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make the command of a step from its signature."""
        if cmd_name not in STEPS:
            return super().get_command(ctx, cmd_name)
        try:
            from stage1.cli import steps

            return steps.command(cmd_name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("stage1"):
                raise
            return _unavailable(cmd_name, f"Needs {error.name}: pip install 'stage1[train]'.")


def _unavailable(name: str, text: str) -> Any:
    stub = typer.Typer(add_completion=False)

    @stub.command(name, help=text, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def say() -> None:
        raise BadInput(text)

    return typer.main.get_command(stub)


app = typer.Typer(
    name="stage1",
    cls=Commands,
    help="Selective image classification with a certified false-negative rate: train, calibrate, gate, promote, ask.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
run.register(app)
bundle.register(app)
serve.register(app)
track.register(app)
app.add_typer(data.app, name="data")
app.add_typer(bundle.app, name="bundle")
app.add_typer(channel.app, name="channel")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line; exit 2 for bad input, 3 for a refused promotion, 1 for a fault, 130 for Ctrl-C."""
    try:
        app()
    except Stage1Error as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(130)
