"""The record on a real MLflow server: down, then up; and the model that it hands out, in a fresh process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stage1.bundle import promote
from stage1.config import Config
from stage1.errors import BadConfig
from stage1.storage import open_store
from stage1.tracking import Promotion, RunRecord, TrackingConfig, find_kept, record_run, register_model
from tests.bundle.making import BLUE, RED, Maker, picture
from tests.bundle.test_publishing import next_bundle
from tests.servers.mlflow import free_port, mlflow_server
from tests.serving.process import png
from tests.tracking.conftest import Done

SECRET = "a-token-that-nobody-may-see"

LOAD = """
import json, sys
from pathlib import Path
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/stage1@demo")
paths = sys.argv[1:]
files = [Path(path).read_bytes() for path in paths]
inputs = [paths, files, pd.DataFrame({"image": files, "id": range(len(files))}), pd.DataFrame({"x": paths})]
print(json.dumps([model.predict(each).label.tolist() for each in inputs]))
"""


def test_what_a_server_missed_is_kept_sent_later_once_and_loads_as_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stage1: Callable[..., Done]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    monkeypatch.delenv("STAGE1_EVENTS", raising=False)
    make, store = Maker(tmp_path / "made"), open_store(str(tmp_path / "store"))
    port = free_port()
    config = TrackingConfig(uri=f"http://127.0.0.1:{port}")
    report, later = tmp_path / "run" / "report", tmp_path / "later"
    report.mkdir(parents=True)
    (report / "report.html").write_text("<p>whole</p>")
    (tmp_path / "decision.json").write_text("{}")
    record = RunRecord(
        "key",
        "name",
        {"seed": 1},
        {"loss": [0.5, None, 0.25]},
        {},
        [report / "report.html", tmp_path / "decision.json"],
    )

    def promotion(folder: Path) -> Promotion:
        done = promote(store, "demo", folder)
        return Promotion(done.uri, done.digest, "demo", done.sequence, "key", "stage1==0.1.0", {"version": "1"})

    began = time.monotonic()
    assert record_run(config, record, report) == ""
    (tmp_path / "run" / "promote").mkdir()
    assert register_model(config, promotion(next_bundle(make, store)), tmp_path / "run" / "promote") == ""
    assert time.monotonic() - began < 30
    assert caplog.text.count("it is kept: stage1 track FOLDER sends it") == 2
    (tmp_path / "decision.json").unlink()  # what is kept needs nothing else
    failed = stage1("track", str(tmp_path / "run"))
    assert failed.status == 1
    assert "Unreachable" in failed.err

    with mlflow_server(tmp_path / "server", port) as uri:
        from mlflow import MlflowClient

        client = MlflowClient(uri, uri)
        later.mkdir()
        second = register_model(config, promotion(next_bundle(make, store)), later)
        sent = stage1("track", str(tmp_path / "run"))
        assert (sent.status, len(sent.out.splitlines())) == (0, 2), sent.err
        assert stage1("track", str(tmp_path / "run")).out == sent.out
        versions = client.search_model_versions("name = 'stage1'")
        assert len(versions) == 2
        assert str(client.get_model_version_by_alias("stage1", "demo").version) == second, "not moved back"
        (run,) = client.search_runs([client.get_experiment_by_name("stage1").experiment_id])
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 0.5), (3, 0.25)]
        assert [each.path for each in client.list_artifacts(run.info.run_id)] == ["decision.json", "report.html"]

        for name, colour in (("red", RED), ("blue", BLUE)):
            (tmp_path / f"{name}.png").write_bytes(png(picture(colour)))
        loaded = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOAD, str(tmp_path / "red.png"), str(tmp_path / "blue.png")],
            capture_output=True, text=True, check=False, env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        )  # fmt: skip
        assert loaded.returncode == 0, loaded.stderr
        assert json.loads(loaded.stdout.splitlines()[-1]) == [["roadwork", "nothing"]] * 4
    assert SECRET not in caplog.text + failed.err + failed.out + sent.out
    assert not [path for path in find_kept(tmp_path) if SECRET in path.read_text()]


def test_a_server_that_never_answers_delays_by_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held: list[socket.socket] = []
        threading.Thread(target=lambda: held.append(silent.accept()[0]), daemon=True).start()
        config = TrackingConfig(uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        import mlflow  # noqa: F401 - its import takes seconds of its own

        began = time.monotonic()
        assert record_run(config, RunRecord("k", "n", {}, {}), tmp_path) == ""
        assert 4 < time.monotonic() - began < 9
        for connection in held:
            connection.close()


@pytest.mark.parametrize("uri", ["https://me:secret-word@mlflow.example", "postgresql://me:secret-word@db/mlflow"])
def test_a_password_in_the_address_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(BadConfig, match="MLFLOW_TRACKING_PASSWORD") as caught:
        Config.compose(overrides=[f"tracking.uri={uri}"])
    assert "needed without a password" in str(caught.value)
