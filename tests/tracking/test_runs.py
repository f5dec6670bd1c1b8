"""The record in MLflow: real, on sqlite; once per key; and never in the way of a run."""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from stage1 import tracking
from stage1.tracking import Promotion, RunRecord, TrackingConfig, find_kept, send_kept

_count = itertools.count(1)


def record_run(config: TrackingConfig, record: RunRecord, folder: Path | None = None) -> str:
    return tracking.record_run(config, record, folder or Path(tempfile.mkdtemp()))


def register_model(config: TrackingConfig, **fields: Any) -> str:
    """A promotion later than those before."""
    promotion = Promotion(**{"sequence": next(_count), "requirement": "stage1==0.1.0"} | fields)
    return tracking.register_model(config, promotion, Path(tempfile.mkdtemp()))


REGISTER: dict[str, Any] = {
    "source": "s3://bundles/sha256/1",
    "alias": "demo",
    "run_key": "k1",
    "tags": {"sequence": "1"},
}


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("STAGE1_EVENTS", str(path))
    return path


def notes(said: Path) -> list[str]:
    return [json.loads(line)["message"] for line in said.read_text().splitlines()] if said.exists() else []


def record(key: str, *artifacts: Path, **changed: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "name": f"run {key}",
        "params": {"train.seed": 3, "train.phases": ["ce"] * 300},
        "curves": {"train/loss": [0.5, 0.25, 0.125], "train/val_auroc": [None, 0.5, 0.75], "val_test/augrc": [0.01]},
        "tags": {"stage1.verdict": "promoted"},
    }
    return RunRecord(key=key, artifacts=artifacts, **(fields | changed))


def test_a_run_is_recorded_whole(config: TrackingConfig, client: Any, tmp_path: Path, said: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>report</p>")
    run_id = record_run(config, record("whole", page))
    assert notes(said) == []
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("run whole", "FINISHED")
    assert run.data.params["train.seed"] == "3"
    assert run.data.params["train.phases"] == str(["ce"] * 300)[:500]
    assert run.data.tags["stage1.verdict"] == "promoted"
    curves = {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(run_id, name)]
        for name in ("train/loss", "train/val_auroc", "val_test/augrc")
    }
    assert curves == {
        "train/loss": [(1, 0.5), (2, 0.25), (3, 0.125)],
        "train/val_auroc": [(2, 0.5), (3, 0.75)],
        "val_test/augrc": [(1, 0.01)],
    }
    assert [artifact.path for artifact in client.list_artifacts(run_id)] == ["report.html"]
    database = Path(config.uri.removeprefix("sqlite:///"))
    assert (database.parent / "mlartifacts" / run_id / "artifacts" / "report.html").read_text() == "<p>report</p>"
    assert client.get_experiment(run.info.experiment_id).name == "roads"


def runs_of(client: Any, key: str) -> list[Any]:
    experiment = client.get_experiment_by_name("roads").experiment_id
    return list(client.search_runs([experiment], f"tags.`stage1.key` = '{key}'"))


def test_the_same_key_is_recorded_once(config: TrackingConfig, client: Any) -> None:
    first = record_run(config, record("once"))
    assert record_run(config, record("once")) == first
    assert len(runs_of(client, "once")) == 1
    assert record_run(config, record("twice")) != first


def test_more_numbers_than_one_request_takes_all_arrive(config: TrackingConfig, client: Any) -> None:
    run_id = record_run(config, record("many", curves={"loss": [n / 7 for n in range(1, 251)]}))
    history = client.get_metric_history(run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(n, n / 7) for n in range(1, 251)]


def test_a_record_that_fails_halfway_does_not_count_and_is_made_again(
    config: TrackingConfig, client: Any, tmp_path: Path, said: Path
) -> None:
    missing = tmp_path / "report.html"
    assert record_run(config, record("halfway", missing), tmp_path) == ""
    assert "run was not recorded" in notes(said)[0]
    assert [run.info.status for run in runs_of(client, "halfway")] == ["FAILED"]
    missing.write_text("here")
    (kept,) = find_kept(tmp_path)
    run_id = send_kept(kept)
    assert sorted(run.info.status for run in runs_of(client, "halfway")) == ["FAILED", "FINISHED"]
    assert send_kept(kept) == run_id


def test_a_promotion_is_a_version_with_an_alias_and_registering_it_again_changes_nothing(
    config: TrackingConfig, client: Any, said: Path
) -> None:
    run_id = record_run(config, record("k1"))
    version = register_model(config, digest="a" * 64, **REGISTER)
    assert register_model(config, digest="a" * 64, **REGISTER) == version
    assert notes(said) == []
    assert len(client.search_model_versions("name = 'stage1'")) == 1
    found = client.get_model_version_by_alias("stage1", "demo")
    assert (str(found.version), found.source, found.run_id) == (version, found.source, run_id)
    assert found.tags == {"digest": "a" * 64, "sequence": "1", "bundle": REGISTER["source"]}


def test_the_alias_moves_with_promotions_and_back_with_a_rollback(config: TrackingConfig, client: Any) -> None:
    first = register_model(config, digest="a" * 64, **REGISTER)
    second = register_model(config, digest="b" * 64, **REGISTER)
    assert second != first
    assert str(client.get_model_version_by_alias("stage1", "demo").version) == second
    other = register_model(config, digest="b" * 64, **(REGISTER | {"alias": "other"}))
    assert other == second
    register_model(config, digest="a" * 64, **REGISTER)
    aliases = client.get_registered_model("stage1").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"demo": first, "other": second}


def test_a_promotion_of_a_run_that_was_not_recorded_is_registered_all_the_same(
    config: TrackingConfig, client: Any
) -> None:
    version = register_model(config, digest="c" * 64, **(REGISTER | {"run_key": "unknown", "alias": "lost"}))
    found = client.get_model_version_by_alias("stage1", "lost")
    assert str(found.version) == version
    assert not found.run_id


def test_off_does_nothing_and_imports_nothing() -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from stage1.tracking import Promotion, RunRecord, TrackingConfig, record_run, register_model\n"
        "assert record_run(TrackingConfig(), RunRecord('k', 'n', {}, {}), Path('none')) == ''\n"
        "promotion = Promotion('', '', '', 1, '', '', {})\n"
        "assert register_model(TrackingConfig(), promotion, Path('none')) == ''\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mlflow', 'torch', 'sqlalchemy')])\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_a_server_that_is_not_there_is_said_within_seconds(said: Path) -> None:
    config = TrackingConfig(uri="http://127.0.0.1:9")
    began = time.monotonic()
    assert record_run(config, record("k")) == ""
    assert register_model(config, digest="a" * 64, **REGISTER) == ""
    assert time.monotonic() - began < 30
    assert [note.split(" (")[0] for note in notes(said)] == [
        "MLflow: run was not recorded",
        "MLflow: promotion was not registered",
    ]
    assert all("it is kept: stage1 track FOLDER" in note for note in notes(said))


def test_a_uri_that_is_none_is_said(said: Path) -> None:
    assert record_run(TrackingConfig(uri="ftp://nowhere"), record("k")) == ""
    assert "MLflow: run was not recorded" in notes(said)[0]


def test_recording_is_silent(tmp_path: Path) -> None:
    """A new database too, whose tables MLflow makes; a fresh process, because it configures its loggers once."""
    script = (
        "from pathlib import Path\n"
        "from stage1.tracking import RunRecord, TrackingConfig, record_run\n"
        f"config = TrackingConfig(uri='sqlite:///{tmp_path}/new.db')\n"
        f"assert record_run(config, RunRecord('k', 'n', {{}}, {{}}), Path('{tmp_path}'))\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
