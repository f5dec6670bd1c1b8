from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stage1.bundle import promote
from stage1.storage import Store, open_store
from tests.bundle.making import Maker
from tests.bundle.test_publishing import next_bundle
from tests.serving.process import Process, serving


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "made")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def channel(make: Maker, store: Store) -> str:
    """The address of a channel with one bundle."""
    promote(store, "demo", next_bundle(make, store))
    return store.uri_of("channels/demo.json")


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server over one bundle, for all tests that change nothing."""
    folder = tmp_path_factory.mktemp("serving")
    bundle = Maker(folder / "made").path()
    with serving(str(bundle), folder / "log", "--max-images", "8", "--max-body-mb", "2") as process:
        yield process


@pytest.fixture
def client(running: Process) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client
