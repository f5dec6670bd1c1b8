"""Where runs are recorded when the configuration does not say: MLflow's own variable, as a pod's secret sets it."""

from typing import Any

import pytest

from stage1.errors import BadConfig
from stage1.tracking import TrackingConfig
from stage1.training.config import LoopConfig
from stage1.training.curves import open_curves
from stage1.training.processes import ALONE
from tests.tracking.test_runs import record, record_run


def test_the_environment_says_it_where_the_configuration_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert TrackingConfig().resolved().uri == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert TrackingConfig(experiment="roads").resolved() == TrackingConfig(uri="http://mlflow:5000", experiment="roads")
    assert TrackingConfig(uri="sqlite:///own.db").resolved().uri == "sqlite:///own.db"


def test_a_password_in_it_is_refused_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow")
    with pytest.raises(BadConfig, match="without a password") as error:
        open_curves(LoopConfig(), "train-1", ALONE)
    assert "secret" not in str(error.value)


def test_a_run_is_recorded_where_the_environment_says(
    config: TrackingConfig, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.uri)
    run_id = record_run(TrackingConfig(experiment=config.experiment), record("by environment"))
    assert client.get_run(run_id).data.tags["stage1.key"] == "by environment"
