"""`stage1 channel ...`: what a channel points at, what it pointed at before, and the way back."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stage1.bundle.publishing import Promoted
    from stage1.tracking import TrackingConfig

app = typer.Typer(help="Channels: what is promoted, what was, and the way back.", no_args_is_help=True)
_STORE = typer.Option("--store", help="Object store of the channel.")
_NAME = typer.Argument(help="Name of the channel.")
_KEY = typer.Option(
    "--public-key",
    envvar="STAGE1_PUBLIC_KEY",
    show_envvar=True,
    help="PEM file of the public key that must have signed the bundle. Without it nobody's signature is checked.",
)
_MLFLOW = typer.Option(help="MLflow whose alias moves along, such as https://mlflow.example; empty: none.")


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
def verify(
    name: Annotated[str, _NAME], store: Annotated[str, _STORE] = "stage1-store", public_key: Annotated[str, _KEY] = ""
) -> None:
    """Load what the channel points at as a consumer would."""
    from stage1.bundle import Bundle
    from stage1.storage import open_store

    uri = open_store(store).uri_of(f"channels/{name}.json")
    typer.echo(f"good: {Bundle.load(uri, public_key or None).digest}")


@app.command()
def rollback(
    name: Annotated[str, _NAME],
    to: Annotated[str, typer.Option(help="Digest to go back to; empty: the bundle before the present one.")] = "",
    store: Annotated[str, _STORE] = "stage1-store",
    public_key: Annotated[str, _KEY] = "",
    tracking_uri: Annotated[str, _MLFLOW] = "",
    model_name: Annotated[str, typer.Option(help="Registered model in MLflow; empty: stage1.")] = "",
) -> None:
    """Point the channel at a bundle that it pointed at before, and MLflow's alias of the same name with it."""
    from stage1.bundle import rollback as back
    from stage1.storage import open_store

    mlflow = _tracking(tracking_uri, model_name) if tracking_uri else None
    moved = back(open_store(store), name, to or None, public_key=public_key or None)
    typer.echo(f"{moved.channel} points at {moved.digest}, sequence {moved.sequence}")
    if mlflow is not None:
        typer.echo(f"MLflow's {mlflow.model_name}@{moved.channel} is version {_tell(mlflow, moved)}")


def _tracking(uri: str, model_name: str) -> "TrackingConfig":
    from stage1.tracking import TrackingConfig

    return TrackingConfig().at(uri, model_name)


def _tell(mlflow: "TrackingConfig", moved: "Promoted") -> str:
    from stage1.bundle import verify as verified
    from stage1.steps.registering import record_of
    from stage1.tracking import Unreachable, send

    try:
        return send(mlflow, record_of(moved, verified(moved.uri).manifest))
    except Unreachable as error:
        # Without --to the next rollback goes one bundle further back.
        raise Unreachable(
            f"The channel has moved, MLflow's alias has not: {error}. Say the same again with --to {moved.digest}."
        ) from error


def _print(entry: "object") -> None:
    import dataclasses
    import json
    from typing import Any, cast

    typer.echo(json.dumps(dataclasses.asdict(cast(Any, entry)), sort_keys=True))
