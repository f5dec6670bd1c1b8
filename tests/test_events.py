"""What a step says where there is a log and no watcher."""

import re

import pytest

from stage1 import events


def test_a_log_gets_plain_lines_and_progress_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setenv(events.VARIABLE, events.LOG)
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(events, "_logged", 0.0)
    events.set_step("train")
    events.emit("start")
    for done in range(1, 101):
        now[0] += 1
        events.progress(done, 100, "step", epoch=1, loss=1 / done, images_per_s=1234.5)
    events.note("something to read")
    events.emit("failed", message="the disk is full", error="StorageError", exit_code=1)
    events.emit("done", seconds=61.25, out="/runs/model")
    out, err = capsys.readouterr()
    assert out == ""
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in err.splitlines()]
    assert lines == [
        "train: start",
        "train: step 1 of 100, loss 1, images_per_s 1234",
        "train: step 31 of 100, loss 0.03226, images_per_s 1234",
        "train: step 61 of 100, loss 0.01639, images_per_s 1234",
        "train: step 91 of 100, loss 0.01099, images_per_s 1234",
        "train: step 100 of 100, loss 0.01, images_per_s 1234",
        "train: something to read",
        "train: failed (StorageError)",
        "train: done in 61.2 s",
    ]


def test_without_a_watcher_and_a_log_a_step_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(events.VARIABLE, raising=False)
    events.note("nobody")
    assert capsys.readouterr() == ("", "")
