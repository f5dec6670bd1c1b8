import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from stage1.cli import main
from stage1.tracking import TrackingConfig


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture
def stage1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`stage1 ...` in this process: importing MLflow takes seconds."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["stage1", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrackingConfig:
    """One database for all tests here: MLflow takes seconds to make one."""
    return TrackingConfig(uri=f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}", experiment="roads")


@pytest.fixture(scope="package")
def client(config: TrackingConfig) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(config.uri, config.uri)
