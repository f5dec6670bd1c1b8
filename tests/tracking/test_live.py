"""Numbers in MLflow and TensorBoard while a run trains, once for every step, and never in its way."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from stage1.tracking import TrackingConfig
from stage1.tracking.live import LiveRun
from stage1.training.config import LoopConfig
from stage1.training.curves import open_curves
from stage1.training.processes import Processes


def run_of(client: Any, name: str) -> Any:
    experiment = client.get_experiment_by_name("roads")
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`stage1.training` = '{name}'")
    return run


def curve(client: Any, name: str, metric: str) -> list[tuple[int, float]]:
    found = client.get_metric_history(run_of(client, name).info.run_id, metric)
    return sorted((each.step, each.value) for each in found)


def test_numbers_arrive_by_step_while_it_trains(config: TrackingConfig, client: Any) -> None:
    live = LiveRun(config, "train-one")
    live.add(1, {"loss": 0.5, "learning_rate": 0.1})
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if curve(client, "train-one", "loss"):
                break
        except (AttributeError, ValueError):
            time.sleep(0.2)
    assert run_of(client, "train-one").info.status == "RUNNING"
    for step in range(2, 2502):
        live.add(step, {"loss": 1 / step})
    live.close("FINISHED")
    assert curve(client, "train-one", "loss") == [(1, 0.5), *((step, 1 / step) for step in range(2, 2502))]
    assert curve(client, "train-one", "learning_rate") == [(1, 0.1)]
    assert run_of(client, "train-one").info.status == "FINISHED"


def test_a_run_that_goes_on_is_the_same_run(config: TrackingConfig, client: Any) -> None:
    for steps, status in [(range(1, 4), "KILLED"), (range(4, 6), "FINISHED")]:
        live = LiveRun(config, "train-two")
        for step in steps:
            live.add(step, {"loss": float(step)})
        live.close(status)
        assert run_of(client, "train-two").info.status == status
    assert curve(client, "train-two", "loss") == [(step, float(step)) for step in range(1, 6)]


def test_a_server_that_is_not_there_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "events.jsonl"
    monkeypatch.setenv("STAGE1_EVENTS", str(said))
    live = LiveRun(TrackingConfig(uri="http://127.0.0.1:9"), "train-three")
    started = time.monotonic()
    for step in range(100):
        live.add(step, {"loss": 1.0})
    assert time.monotonic() - started < 1, "nobody waits for it"
    live.close("FINISHED")
    (line,) = said.read_text().splitlines()
    assert json.loads(line)["message"].startswith("MLflow: the curves of train-three are not sent from here on (")


def test_a_run_without_a_step_leaves_no_trace(config: TrackingConfig, client: Any) -> None:
    LiveRun(config, "train-four").close("FINISHED")
    experiment = client.get_experiment_by_name("roads")
    assert client.search_runs([experiment.experiment_id], "tags.`stage1.training` = 'train-four'") == []


def test_tensorboard_has_the_same_numbers_and_hides_what_was_done_again(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = LoopConfig(tensorboard=str(tmp_path))
    for steps, scale in [(range(1, 7), 1.0), (range(5, 9), 2.0)]:
        curves = open_curves(config, "train-five", Processes())
        for step in steps:
            curves.add(step, {"loss": scale * step})
        curves.close("KILLED")
        time.sleep(1.1)  # its files are named by the second
    found = EventAccumulator(str(tmp_path / "train-five")).Reload().Scalars("loss")
    assert [(each.step, each.value) for each in found] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 10.0), (6, 12.0), (7, 14.0), (8, 16.0),
    ]  # fmt: skip


def test_only_the_first_process_tells_and_only_where_it_is_asked_to(tmp_path: Path) -> None:
    config = LoopConfig(tensorboard=str(tmp_path / "second"))
    for curves in (open_curves(config, "x", Processes(1, 2, 1)), open_curves(LoopConfig(), "x", Processes())):
        curves.add(1, {"loss": 1.0})
        curves.close("FINISHED")
    assert list(tmp_path.iterdir()) == []
