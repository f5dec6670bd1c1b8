from pathlib import Path

import pytest

from stage1.storage import Store, open_store
from tests.bundle.making import KeyPair, Maker
from tests.servers.minio import MinioServer


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "made")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return KeyPair.make(tmp_path_factory.mktemp("other"))


@pytest.fixture(params=["folder", "minio"])
def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A folder, then a prefix in a bucket of a real server, with a cache of this test's own."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    server: MinioServer = request.getfixturevalue("minio")
    server.use(monkeypatch)
    monkeypatch.setenv("STAGE1_BUNDLE_CACHE", str(tmp_path / "cache"))
    return open_store(f"s3://{server.new_bucket()}/models")
