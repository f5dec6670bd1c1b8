"""The closing summary, from whole and from partial folders."""

import json
from pathlib import Path
from typing import Any

import pytest

from stage1.console import refused, summary, unchanged

SPLIT = {
    "num_images": 12000,
    "num_groups": 500,
    "splits": {
        "train": {"images": 7200, "positives": 3600, "groups": 300},
        "val_test": {"images": 1800, "positives": 900, "groups": 75},
    },
    "warnings": ["few groups"],
}
METRICS = {
    "split": "val_test",
    "confidence": 0.95,
    "num_images": 1800,
    "chosen": "gate",
    "policies": {
        "softmax": {
            "feasible": False,
            "reason": "no threshold keeps 2 %",
            "coverage": {"value": None},
            "augrc": {"value": 0.004},
            "fnr_answered": {"value": None, "upper": None, "misses": 0, "positives": 0},
        },
        "gate": {
            "feasible": True,
            "reason": "",
            "coverage": {"value": 0.875},
            "augrc": {"value": 0.0021},
            "fnr_answered": {"value": 0.0025, "upper": 0.0105, "misses": 2, "positives": 800},
        },
    },
}
CHECKS = [
    {
        "name": "fnr",
        "verdict": "pass",
        "value": 0.0025,
        "bound": 0.0105,
        "limit": 0.02,
        "comparison": "<=",
        "reason": "ok",
    },
    {
        "name": "coverage",
        "verdict": "refuse",
        "value": 0.5,
        "bound": None,
        "limit": 0.6,
        "comparison": ">=",
        "reason": "low",
    },
    {
        "name": "origin",
        "verdict": "pass",
        "value": None,
        "bound": None,
        "limit": None,
        "comparison": None,
        "reason": "one data set",
    },
]


def _write(root: Path, step: str, name: str, value: Any) -> Path:
    folder = root / step
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))
    return folder


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    decision = {"promote": True, "policy": "gate", "checks": CHECKS[:1] + CHECKS[2:], "reasons": [], "warnings": []}
    export = tmp_path / "export"
    (export / "bundle").mkdir(parents=True)
    return {
        "split": _write(tmp_path, "split", "split.json", SPLIT),
        "evaluate": _write(tmp_path, "evaluate", "metrics.json", METRICS),
        "gate": _write(tmp_path, "gate", "decision.json", decision),
        "report": _write(tmp_path, "report", "report.html", "page"),
        "export": export,
        "promote": _write(tmp_path, "promote", "promoted.json", {"channel": "c", "sequence": 3, "digest": "sha256:ab"}),
    }


def _cells(text: str, first: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [first])


def test_every_section_stands_with_its_numbers(folders: dict[str, Path]) -> None:
    text = summary(folders)
    assert _cells(text, "train") == ["train", "7,200", "3,600", "300"]
    assert _cells(text, "gate") == ["gate", "*", "87.50", "%", "0.25", "%", "1.05", "%", "2", "of", "800", "0.0021"]
    assert _cells(text, "softmax") == ["softmax", "n/a", "n/a", "n/a", "0", "of", "0", "0.004"]
    assert "softmax keeps no promise here: no threshold keeps 2 %" in text
    assert "95 % bound" in text
    assert _cells(text, "fnr") == ["fnr", "0.0105", "<=", "0.02", "pass"]
    assert _cells(text, "origin") == ["origin", "pass"]
    assert "PROMOTED to channel c, sequence 3" in text
    assert "warning: few groups" in text
    assert not refused(folders)


def test_paths_are_relative_to_the_working_folder(folders: dict[str, Path]) -> None:
    text = summary(folders)
    assert _cells(text, "Report") == ["Report", "report/report.html"]
    assert _cells(text, "Bundle") == ["Bundle", "export/bundle"]


def test_the_command_names_a_positive_test_image(folders: dict[str, Path], tmp_path: Path) -> None:
    from stage1.data import SplitConfig, make_split
    from tests.pipelines.images import write_images

    manifest, _ = make_split(str(write_images(tmp_path / "images", per_class=40)), SplitConfig())
    manifest.write(folders["split"] / "manifest.parquet")
    command = _cells(summary(folders), "Ask")
    assert command[:5] == ["Ask", "it", "stage1", "decide", "export/bundle"]
    row = next(
        row for row in manifest.table.to_pylist() if Path(manifest.roots[0], row["uri"]) == (tmp_path / command[5])
    )
    assert (row["label"], row["split"]) == (1, "val_test")


def test_a_refusal_lists_its_reasons_and_names_no_bundle(folders: dict[str, Path], tmp_path: Path) -> None:
    decision = {"promote": False, "policy": "gate", "checks": CHECKS, "reasons": ["coverage too low"]}
    folders["gate"] = _write(tmp_path, "gate", "decision.json", decision)
    del folders["export"], folders["promote"]
    text = summary(folders)
    assert "REFUSED\n  coverage too low" in text
    assert _cells(text, "coverage") == ["coverage", "0.5", ">=", "0.6", "refuse"]
    assert "Bundle" not in text
    assert "PROMOTED" not in text
    assert refused(folders)


def test_a_run_done_twice_is_no_refusal(folders: dict[str, Path], tmp_path: Path) -> None:
    same = {"name": "champion", "verdict": "refuse", "value": None, "bound": None, "limit": None, "reason": "the same"}
    decision = {"promote": False, "policy": "gate", "checks": [CHECKS[0], same], "champion": {"digest": "ab"}}
    folders["gate"] = _write(tmp_path, "gate", "decision.json", decision)
    del folders["export"], folders["promote"]
    assert refused(folders)
    metrics = json.loads((folders["evaluate"] / "metrics.json").read_text()) | {"champion": {"identical": True}}
    folders["evaluate"] = _write(tmp_path, "evaluate", "metrics.json", metrics)
    assert unchanged(folders)
    assert not refused(folders)
    assert "NOTHING TO PROMOTE" in summary(folders)
    assert "REFUSED" not in summary(folders)
    worse = [{**same, "name": "coverage"}, same]
    folders["gate"] = _write(tmp_path, "gate", "decision.json", {**decision, "checks": worse})
    assert refused(folders)


def test_a_yes_of_the_gate_alone_is_no_promotion(folders: dict[str, Path]) -> None:
    del folders["promote"]
    text = summary(folders)
    assert "PROMOTED" not in text
    assert "not promoted" in text


@pytest.mark.parametrize("known", range(6))
def test_any_beginning_of_a_run_can_be_summed_up(folders: dict[str, Path], known: int) -> None:
    done = dict(list(folders.items())[:known])
    text = summary(done)
    assert ("Data:" in text) == ("split" in done)
    assert ("Exit policies" in text) == ("evaluate" in done)
    assert ("Gate" in text) == ("gate" in done)
    assert not refused(done)


def test_broken_files_count_as_missing(folders: dict[str, Path]) -> None:
    for step, name in (("split", "split.json"), ("evaluate", "metrics.json"), ("gate", "decision.json")):
        (folders[step] / name).write_text('{"half": ')
    assert summary(folders).splitlines() == ["Report  report/report.html", "Bundle  export/bundle"]


def test_null_everywhere_reads_not_available(tmp_path: Path) -> None:
    nulls = {"policies": {"gate": {"coverage": None, "fnr_answered": None, "augrc": None}}, "confidence": None}
    check = dict.fromkeys(("value", "bound", "limit"), None) | {"name": "fnr", "verdict": "refuse", "comparison": "<="}
    text = summary(
        {
            "split": _write(tmp_path, "split", "split.json", {"splits": {"train": {}}}),
            "evaluate": _write(tmp_path, "evaluate", "metrics.json", nulls),
            "gate": _write(tmp_path, "gate", "decision.json", {"promote": False, "checks": [check]}),
        }
    )
    assert _cells(text, "train") == ["train", "n/a", "n/a", "n/a"]
    assert _cells(text, "fnr") == ["fnr", "n/a", "<=", "n/a", "refuse"]
    assert "no reason was recorded" in text
