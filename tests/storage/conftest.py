"""Real processes for the storage tests, each a fresh interpreter."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stage1.storage import LocalStore, Store, open_store
from tests.servers.minio import MinioServer

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    opened = open_store(str(tmp_path / "store"))
    assert isinstance(opened, LocalStore)
    return opened


@pytest.fixture(params=["folder", "minio"])
def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A folder, then a prefix in a bucket of a real server."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    server: MinioServer = request.getfixturevalue("minio")
    server.use(monkeypatch)
    return open_store(f"s3://{server.new_bucket()}/some/prefix")


@pytest.fixture
def start() -> Start:
    """Run Python code in a new process; arguments arrive as sys.argv[1:]."""

    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run
