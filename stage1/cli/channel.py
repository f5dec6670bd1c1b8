"""`stage1 channel ...`: what a channel points at, what it pointed at before, and the way back."""

from typing import Annotated

import typer

app = typer.Typer(help="Channels: what is promoted, what was, and the way back.", no_args_is_help=True)
_STORE = typer.Option("--store", help="Object store of the channel.")
_NAME = typer.Argument(help="Name of the channel.")


@app.command()
def show(name: Annotated[str, _NAME], store: Annotated[str, _STORE] = "stage1-store") -> None:
    """Print what the channel points at now."""
    from stage1.bundle import Channel
    from stage1.errors import BadInput
    from stage1.storage import open_store

    pointer = Channel(open_store(store), name).read()
    if pointer is None:
        raise BadInput(f"channel {name} in {store} points at nothing: no bundle was promoted yet.")
    _print(pointer.current)


@app.command()
def history(name: Annotated[str, _NAME], store: Annotated[str, _STORE] = "stage1-store") -> None:
    """Print every change of the channel, oldest first."""
    from stage1.bundle import Channel
    from stage1.storage import open_store

    for entry in Channel(open_store(store), name).history():
        _print(entry)


@app.command("list")
def list_channels(store: Annotated[str, _STORE] = "stage1-store") -> None:
    """Print the channels of a store."""
    from stage1.storage import open_store

    for key in open_store(store).list("channels/"):
        typer.echo(key.removeprefix("channels/").removesuffix(".json"))


@app.command()
def verify(name: Annotated[str, _NAME], store: Annotated[str, _STORE] = "stage1-store") -> None:
    """Load what the channel points at as a consumer would."""
    from stage1.bundle import Bundle
    from stage1.storage import open_store

    typer.echo(f"good: {Bundle.load(open_store(store).uri_of(f'channels/{name}.json')).digest}")


@app.command()
def rollback(
    name: Annotated[str, _NAME],
    to: Annotated[str, typer.Option(help="Digest to go back to; empty: the bundle before the present one.")] = "",
    store: Annotated[str, _STORE] = "stage1-store",
) -> None:
    """Point the channel at a bundle that it pointed at before."""
    from stage1.bundle import rollback as back
    from stage1.storage import open_store

    moved = back(open_store(store), name, to or None)
    typer.echo(f"{moved.channel} points at {moved.digest}, sequence {moved.sequence}")


def _print(entry: "object") -> None:
    import dataclasses
    import json
    from typing import Any, cast

    typer.echo(json.dumps(dataclasses.asdict(cast(Any, entry)), sort_keys=True))
