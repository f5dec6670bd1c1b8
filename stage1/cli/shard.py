"""`stage1 data shard`: pack a manifest for streaming."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the data commands."""
    app.command()(shard)


def shard(
    manifest: Annotated[Path, typer.Argument(help="manifest.parquet, or the folder of the split step.")],
    out: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix for the shards, and for nothing else.")],
    megapixels: Annotated[
        float,
        typer.Option(help="Pixels of a shard's images, in millions; 128 are about 20 to 40 MB of JPEG.", min=0.01),
    ] = 128.0,
) -> None:
    """Pack a manifest's images into shards that training streams; run again after a stop, it goes on."""
    from stage1.data.manifest import Manifest
    from stage1.data.packing import pack

    file = manifest / "manifest.parquet" if manifest.is_dir() else manifest
    packed = pack(Manifest.read(file), out, megapixels=megapixels)
    found = f", {packed.num_found:,} of them found there" if packed.num_found else ""
    typer.echo(
        f"{packed.num_images:,} images in {packed.num_shards:,} shards{found}, "
        f"{packed.num_bytes / 1e6:,.1f} MB, in {out}"
    )
    typer.echo(f"Stream them with --set pretrain.shards={out} --set train.shards={out} --set predict.shards={out}")
