"""Photographs that nobody of this project made: the path runs to its end and is honest about what it cannot show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[3] / "shared/data/roadwork/manifest.csv"


@pytest.mark.realdata
@pytest.mark.long
@pytest.mark.skipif(not DATA.is_file(), reason="../shared/data is not here")
def test_street_photographs_end_in_a_refusal_that_says_how_many_are_missing(tmp_path: Path) -> None:
    settings = ("pretrain.epochs=1", "train.phases=[{loss: ce, epochs: 4}, {loss: selective, epochs: 1}]")
    shown = subprocess.run(
        [
            *(sys.executable, "-c", "from stage1.cli import main; main()", "run", "--data", DATA, "--out", "run"),
            *(word for line in (*settings, "store=store") for word in ("--set", line)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert shown.returncode == 3, shown.stderr
    split = json.loads((tmp_path / "run/steps/split/split.json").read_text())
    assert split["num_images"] == 982
    assert split["certification"]["needed_no_miss"] == 149
    assert split["certification"]["test_positives"] < 149
    assert any("149" in warning for warning in split["warnings"])
    metrics = json.loads((tmp_path / "run/steps/evaluate/metrics.json").read_text())
    assert any(part["name"].startswith("source=") for part in metrics["slices"])
    assert "REFUSED" in shown.stdout
    assert "149" in shown.stdout
    assert not (tmp_path / "run/steps/export").exists()
