from pathlib import Path

import pytest

from stage1.storage import Store, open_store
from tests.bundle.making import Maker


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "made")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))
