"""`stage1 serve`: an HTTP server over a bundle or a channel. Needs the extra `serve`, and no torch."""

import logging
from typing import Annotated

import typer

from stage1.errors import BadInput

_URI = typer.Argument(help="A channel to follow, STORE/channels/NAME.json, or a bundle's folder.")
_KEY = typer.Option(
    "--public-key",
    envvar="STAGE1_PUBLIC_KEY",
    help="PEM file with the public key that bundles must be signed with; without one, unsigned bundles are served.",
)
_DRAIN = typer.Option(help="After SIGTERM: seconds for which the probe says not ready and requests are still answered.")


def register(parent: typer.Typer) -> None:
    """Add `stage1 serve`."""
    parent.command()(serve)


def serve(
    bundle: Annotated[str, _URI],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8080,
    public_key: Annotated[str | None, _KEY] = None,
    model_name: Annotated[
        str, typer.Option(help="Name in the addresses (/v2/models/NAME); empty: the bundle's own.")
    ] = "",
    poll_s: Annotated[float, typer.Option(help="Seconds between two looks at the channel.", min=0.1)] = 5.0,
    workers: Annotated[int, typer.Option(help="Threads that decode and decide; 0: one a CPU core.", min=0)] = 0,
    queue: Annotated[int, typer.Option(help="Requests in progress at one time; more get 503.", min=1)] = 64,
    max_images: Annotated[int, typer.Option(help="Images in one request.", min=1)] = 64,
    max_body_mb: Annotated[int, typer.Option(help="Megabytes (2^20 bytes) of one request.", min=1)] = 32,
    drain_s: Annotated[float, _DRAIN] = 5.0,
) -> None:
    """Answer over HTTP (Open Inference Protocol v2), with Prometheus metrics, following a channel's promotions."""
    from stage1.bundle import Bundle, Channel
    from stage1.bundle.address import locate
    from stage1.bundle.keys import read_public_keys

    try:
        from stage1.serving.limits import Limits
        from stage1.serving.running import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stage1"):
            raise
        raise BadInput(f"Needs {error.name}: pip install 'stage1[serve]'.") from error

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    limits = Limits(
        queue=queue, max_images=max_images, max_body_bytes=max_body_mb << 20, drain_s=drain_s, poll_s=poll_s,
        **({"workers": workers} if workers else {}),
    )  # fmt: skip
    if public_key is not None:
        read_public_keys(public_key)  # a key that is none is said now, not as a rejected bundle later
    address = locate(bundle)

    def load() -> Bundle:
        return Bundle.load(bundle, public_key)

    source = load() if address.channel is None or address.store is None else Channel(address.store, address.channel)
    try:
        run(source, load, host=host, port=port, limits=limits, model_name=model_name or None)
    except OSError as error:
        raise BadInput(f"Cannot listen on {host}:{port}: {error.strerror or error}. Name another port.") from error
