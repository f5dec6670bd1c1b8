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
    document: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text()))
    return document


@pytest.fixture(scope="session")
def placed(compiled: Path) -> dict[str, Any]:
    """What the compiled pipeline asks of Kubernetes, by executor."""
    platform = list(yaml.safe_load_all(compiled.read_text()))[1]["platforms"]["kubernetes"]
    executors: dict[str, Any] = platform["deploymentSpec"]["executors"]
    return executors


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled pipeline of our shape whose steps take no time."""
    path = tmp_path_factory.mktemp("compiled") / "stand-in.yaml"
    stand_in.compile_to(path)
    return path
