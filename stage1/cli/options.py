"""Options that commands share, and the configuration they compose."""

from pathlib import Path
from typing import Annotated

import typer

from stage1.errors import BadConfig

Preset = Annotated[str, typer.Option("--preset", help="Where the configuration begins: demo or full; empty: defaults.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file whose fields replace the preset's.", dir_okay=False)
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="One field on top, e.g. --set train.batch_size=32; repeatable.")
]


def config_text(file: Path | None) -> str:
    """The text of the configuration file; "" without one."""
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadConfig(f"--config {file} cannot be read: {error.strerror}.") from error
