"""The inspection's page and text: hostile names are escaped, the counts are there, no request is made."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from stage1.cli.main import app
from stage1.data import SplitConfig
from stage1.data.inspect import inspect
from stage1.report.inspection import inspection_page, inspection_text


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name, count in (("roadwork", 8), ("clear", 12)):
        (root / name).mkdir(parents=True)
        for seed in range(count):
            pixels = np.random.default_rng(seed + 100 * count).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"<script>{seed}.png")
    (root / "notes.txt").write_text("x")
    return root


def test_the_page_escapes_names_and_loads_nothing(data: Path) -> None:
    found = inspect(str(data), SplitConfig(), per_kind=5)
    page = inspection_page(found.report, [(each.kind, each.uri, each.jpeg) for each in found.sheet])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 10
    assert "default-src &#39;none&#39;" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_prints_the_counts_and_writes_the_page(data: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "inspect", str(data), "--html", str(tmp_path / "look.html")])
    assert result.exit_code == 0
    assert "Images: 20 with label, 0 without" in result.output
    assert "Width: 30 to 30 px, median 30" in result.output
    assert "Left out: 1 other_file" in result.output
    assert "val_test has" in result.output
    assert (tmp_path / "look.html").read_text().startswith("<!DOCTYPE html>")
    assert inspection_text(inspect(str(data), SplitConfig()).report) in result.output
