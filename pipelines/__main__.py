"""`python -m pipelines compile|run|submit|status|cancel|retrain|watch|doctor`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines import commands
from stage1.errors import BadInput, Stage1Error

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="The Kubeflow pipeline of stage1."
)


@app.command("compile")
def compile_command(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the IR to.")] = Path("build/pipeline.yaml"),
    image: Annotated[str, typer.Option(help="Image of every task, by digest for a cluster.")] = "",
    cpu_image: Annotated[str, typer.Option(help="Image of the tasks without torch; --image if not given.")] = "",
    queue: Annotated[str, typer.Option(help="Kueue's local queue of every task; empty for none.")] = "",
) -> None:
    """Compile the pipeline to the YAML that Kubeflow and `run` execute."""
    if image:
        os.environ["STAGE1_IMAGE"] = image
    if cpu_image:
        os.environ["STAGE1_CPU_IMAGE"] = cpu_image
    if queue:
        os.environ["STAGE1_QUEUE"] = queue
    from pipelines.pipeline import compile_to

    compile_to(out)
    typer.echo(str(out))


@app.command("run")
def run_command(
    data: Annotated[str, typer.Option(help="Folder with one sub-folder a class, or a CSV or parquet sheet.")],
    preset: Annotated[str, typer.Option(help="Where the configuration begins: demo or full.")] = "demo",
    config: Annotated[Path | None, typer.Option(help="YAML file whose fields replace the preset's.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="One field, a.b=c; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=-1, help="Of everything random; -1 leaves what the others say.")] = -1,
    store: Annotated[str, typer.Option(help="Object store of bundles and channels: a folder or file:// URI.")] = "",
    channel: Annotated[str, typer.Option(help="Channel that a promotion moves.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/<name of the data> if not given.")] = None,
    pipeline: Annotated[Path | None, typer.Option(help="A compiled pipeline; ours is compiled if not given.")] = None,
) -> None:
    """Run the compiled pipeline on this machine through kfp.local. Run again, it goes on from what is done.

    Exits with 0 promoted, 3 refused by the gate, 2 bad input, 1 fault, 130 or 143 stopped by a signal.
    """
    from pipelines.run import run

    arguments: dict[str, str | int] = {
        "data": data,
        "preset": preset,
        "config": _text(config),
        "overrides": "\n".join(overrides or []),
        "seed": seed,
        "store": store,
        "channel": channel,
    }
    folder = out or Path("runs") / Path(data).absolute().name
    raise typer.Exit(run(folder, arguments, pipeline=pipeline))


for _command in (
    commands.submit,
    commands.status,
    commands.cancel,
    commands.retrain,
    commands.watch,
    commands.doctor,
):
    app.command()(_command)


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Need a YAML file at {path}, got {error}.") from error


def main() -> None:
    """Run the command line; a known error is its message and its exit code, never a traceback."""
    try:
        app()
    except Stage1Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
