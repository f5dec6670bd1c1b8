"""`stage1 plan` writes its curves as data and as a picture; `stage1 calibrate` has its parts as commands."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stage1.cli.main import app
from stage1.errors import BadConfig

RUNNER = CliRunner()


def test_curves_and_a_plot_are_written(tmp_path: Path) -> None:
    data, table, plot = tmp_path / "curves.json", tmp_path / "curves.parquet", tmp_path / "plot.svg"
    for curves in (data, table):
        shown = RUNNER.invoke(app, ["plan", "--curves", str(curves), "--plot", str(plot), "--max-fnr", "0.04"])
        assert shown.exit_code == 0, shown.output
        assert "FNR <= 4.0% at 95%" in shown.output
    columns = json.loads(data.read_text(encoding="utf-8"))["columns"]
    assert pq.read_table(table).to_pydict() == columns
    assert sorted(set(columns["expected_fnr"])) == [0.005, 0.01, 0.02, 0.03]
    assert plot.read_text(encoding="utf-8").startswith("<?xml")


def test_a_stricter_confidence_needs_more_images(tmp_path: Path) -> None:
    def needed(confidence: str) -> int:
        shown = RUNNER.invoke(app, ["plan", "--confidence", confidence]).output
        return int(shown.rsplit(": ", 1)[1].split(" images")[0].replace(",", ""))

    assert needed("0.99") > needed("0.95")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    for option in ("--curves", "--plot"):
        shown = RUNNER.invoke(app, ["plan", option, str(tmp_path / "x.txt")])
        assert isinstance(shown.exception, BadConfig)
        assert str(tmp_path / "x.txt") in str(shown.exception)


@pytest.mark.parametrize("part", ["sweep", "gate", "scrc"])
def test_every_part_of_calibrate_is_a_command(part: str) -> None:
    assert RUNNER.invoke(app, ["calibrate", part, "--help"]).exit_code == 0
