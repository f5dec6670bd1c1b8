"""Export, promotion and use of a bundle over s3://, by the commands as a user types them, on a real MinIO server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.minio import MinioServer
from tests.steps.conftest import OVERRIDES


def test_a_bundle_is_exported_promoted_and_asked_over_s3(
    walked: dict[str, Path], task: Path, minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minio.use(monkeypatch)
    monkeypatch.setenv("STAGE1_BUNDLE_CACHE", str(tmp_path / "bundles"))
    for name in ("STAGE1_CACHE", "STAGE1_EVENTS", "STAGE1_PUBLIC_KEY", "STAGE1_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    store = f"s3://{minio.new_bucket()}/models"
    settings = (*OVERRIDES, f"store={store}", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}")
    configured = ["--preset", "demo", *(word for line in settings for word in ("--set", line))]
    written = ""

    def stage1(*arguments: str | Path) -> str:
        nonlocal written
        command = [sys.executable, "-c", "from stage1.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
        written += done.stdout + done.stderr
        assert done.returncode == 0, done.stderr
        return done.stdout

    made = {
        "manifest": walked["split"],
        "model": walked["train"],
        "predictions": walked["predict"],
        "policies": walked["calibrate"],
        "evaluation": walked["evaluate"],
        "decision": walked["gate"],
    }
    inputs = [word for name, folder in made.items() for word in (f"--{name}", folder)]
    stage1("export", *inputs, "--out", tmp_path / "export", *configured)
    stage1("promote", "--bundle", tmp_path / "export", "--out", tmp_path / "promote", *configured)
    promoted = json.loads((tmp_path / "promote" / "promoted.json").read_text())
    assert promoted["uri"] == f"{store}/channels/demo.json"

    assert stage1("channel", "list", "--store", store) == "demo\n"
    assert json.loads(stage1("channel", "show", "demo", "--store", store))["digest"] == promoted["digest"]
    assert stage1("channel", "verify", "demo", "--store", store) == f"good: {promoted['digest']}\n"
    images = [task.parent / f"{group}-0.png" for group in range(3)]
    lines = stage1("decide", f"{store}/channels/demo.json", *images, "--json").splitlines()
    answers = [json.loads(line) for line in lines]
    # The folder that was exported, on this machine, says the same.
    here = stage1("decide", tmp_path / "export" / "bundle", *images, "--json").splitlines()
    assert answers == [json.loads(line) for line in here]
    assert len(answers) == len(images)

    kept = [path.read_bytes() for folder in ("export", "promote") for path in (tmp_path / folder).rglob("*.json")]
    assert len(kept) > 2
    assert all(minio.secret_key.encode() not in data for data in [*kept, written.encode()])
