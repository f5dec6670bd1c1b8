"""The compiled pipelines, once a session."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.pipeline import compile_to
from tests.pipelines import stand_in


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_to(path)
    return path


@pytest.fixture(scope="session")
def ir(compiled: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(compiled.read_text())
    return document


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline of our shape whose steps take no time."""
    path = tmp_path_factory.mktemp("compiled") / "stand-in.yaml"
    stand_in.compile_to(path)
    return path
