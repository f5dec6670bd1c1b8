"""`stage1 plan`: how many labelled images a certificate needs, as a table, a plot and data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stage1.cli.options import ConfigFile, Overrides, Preset, config_text
from stage1.errors import BadConfig


def plan(
    positive_share: Annotated[float, typer.Option(help="Share of road works among the images.")] = 0.3,
    expected_fnr: Annotated[float, typer.Option(help="FNR that you expect among answered positives.")] = 0.005,
    coverage: Annotated[float, typer.Option(help="Share of the positives that you expect to be answered.")] = 1.0,
    power: Annotated[float, typer.Option(help="Wanted chance that a model this good is certified.")] = 0.9,
    max_fnr: Annotated[float | None, typer.Option(help="FNR to certify; default: constraint.max_fnr.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Of the bound; default: constraint.confidence.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the chance against images: .svg or .png.")] = None,
    curves: Annotated[Path | None, typer.Option(help="Also write the curves as data: .parquet or .json.")] = None,
    preset: Preset = "",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Say how many labelled images are needed to certify the FNR, before any GPU time is spent."""
    from stage1.config import Config
    from stage1.policy import plan as planned
    from stage1.policy.plan_curves import draw, plan_curves

    composed = Config.compose(preset, config_text(config_file), overrides or [])
    limit = composed.constraint.max_fnr if max_fnr is None else max_fnr
    sure = composed.constraint.confidence if confidence is None else confidence
    given: dict[str, Any] = {
        "positive_share": positive_share,
        "fractions": composed.split.fractions.model_dump(),
        "coverage": coverage,
        "max_fnr": limit,
        "confidence": sure,
    }
    result = planned(expected_fnr=expected_fnr, power=power, **given)
    _table(result)
    needed = f"{result.images_needed:,}" if result.images_needed else "more than can be tabulated"
    promise = f"FNR <= {limit:.1%} at {sure:.0%} with a chance of {power:.0%}"
    typer.echo(f"{promise}, if the true FNR is {expected_fnr:.2%}: {needed} images")
    if plot is None and curves is None:
        return
    rates = sorted({expected_fnr, limit / 8, limit / 4, limit / 2, 0.75 * limit})
    lines = plan_curves(expected_fnrs=rates, **given)
    if curves is not None:
        _write(lines, curves)
    if plot is not None:
        draw(lines, plot, power=power, title=f"FNR ≤ {limit:.1%} at {sure:.0%}")


def _table(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("images", "answered positives in val_test", "misses allowed", "aimed at in val_calib")
    table.add_column("chance to certify", no_wrap=True)
    for row in result.rows:
        table.add_row(
            f"{row.images:,}",
            f"{row.answered_positives:,}",
            str(row.allowed_misses) if row.allowed_misses >= 0 else "none certifies",
            str(row.aimed_misses) if row.aimed_misses >= 0 else "none is safe",
            f"{row.certify_probability:.0%}",
        )
    Console().print(table)


def _write(columns: dict[str, list[Any]], path: Path) -> None:
    if path.suffix == ".json":
        import json

        path.write_text(json.dumps({"schema": "stage1/plan-curves/v1", "columns": columns}) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path, compression="zstd")
    else:
        raise BadConfig(f"--curves needs a file ending in .parquet or .json, got {path}.")
