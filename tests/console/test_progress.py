"""What a watcher makes of events."""

from pathlib import Path

import pytest

from stage1.console import Failure, Progress


def test_a_step_goes_from_start_over_progress_to_done() -> None:
    progress = Progress()
    assert progress.apply({"step": "train", "kind": "start", "time": 100.0}) is None
    assert progress.current is not None
    progress.apply(
        {"step": "train", "kind": "progress", "time": 110.0, "done": 2, "total": 10, "unit": "epoch", "loss": 0.5}
    )
    assert progress.current.numbers == {"loss": 0.5}
    finished = progress.apply({"step": "train", "kind": "done", "seconds": 41.5, "cached": False, "out": "/x/model"})
    assert finished is not None
    assert (finished.status, finished.seconds, finished.cached) == ("done", 41.5, False)
    assert progress.folders == {"train": Path("/x/model")}
    assert progress.current is None


def test_time_left_is_the_pace_so_far_times_what_is_to_do() -> None:
    progress = Progress()
    progress.apply({"step": "train", "kind": "start", "time": 100.0})
    progress.apply({"step": "train", "kind": "progress", "time": 110.0, "done": 1, "total": 10, "unit": "epoch"})
    progress.apply({"step": "train", "kind": "progress", "time": 120.0, "done": 2, "total": 10, "unit": "epoch"})
    step = progress.current
    assert step is not None
    assert step.seconds_left(120.0) == pytest.approx((120 - 100) / 2 * 8)
    assert step.seconds_left(125.0) == pytest.approx(80 - 5)
    assert step.seconds_left(1000.0) == 0.0


def test_a_new_unit_begins_a_new_count() -> None:
    progress = Progress()
    progress.apply({"step": "predict", "kind": "start", "time": 0.0})
    progress.apply({"step": "predict", "kind": "progress", "time": 50.0, "done": 5, "total": 5, "unit": "batch"})
    progress.apply({"step": "predict", "kind": "progress", "time": 50.0, "done": 0, "total": 4, "unit": "canary"})
    step = progress.current
    assert step is not None
    assert step.seconds_left(50.0) is None
    progress.apply({"step": "predict", "kind": "progress", "time": 52.0, "done": 1, "total": 4, "unit": "canary"})
    assert step.seconds_left(52.0) == pytest.approx(2 * 3)


def test_a_failure_is_kept_until_the_step_is_tried_again() -> None:
    progress = Progress()
    progress.apply({"step": "split", "kind": "start", "time": 10.0})
    failed = progress.apply(
        {
            "step": "split",
            "kind": "failed",
            "time": 12.0,
            "message": "no such folder",
            "error": "BadData",
            "exit_code": 2,
        }
    )
    assert failed is not None
    assert failed.seconds == pytest.approx(2.0)
    assert progress.failure == Failure("split", "no such folder", "BadData", 2)
    progress.apply({"step": "split", "kind": "start", "time": 13.0})
    assert progress.failure is None


@pytest.mark.parametrize("event", [{}, {"kind": "new kind", "step": "train"}, {"kind": "note"}])
def test_unknown_events_invent_no_step(event: dict[str, str]) -> None:
    progress = Progress()
    assert progress.apply(event) is None
    assert progress.steps == {}
