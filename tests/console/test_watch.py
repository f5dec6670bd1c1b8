"""Following the events of a running step, and showing them."""

import io
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from stage1 import events
from stage1.console import follow, watch, watching
from stage1.console.watch import duration, table


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(events.VARIABLE, str(path))
    return path


def test_follow_reads_what_is_written_while_it_reads(stream: Path) -> None:
    running = [True]
    seen = []
    for event in follow(stream, lambda: running[0], poll_s=0.001):
        if event is not None:
            seen.append(event["message"])
        if event is None and len(seen) < 3:
            events.note(f"note {len(seen)}")
        elif len(seen) == 3:
            running[0] = False
    assert seen == ["note 0", "note 1", "note 2"]


def test_follow_reads_what_was_written_last_before_the_end(stream: Path) -> None:
    def alive() -> bool:
        events.note("last words")
        return False

    assert [event["message"] for event in follow(stream, alive) if event] == ["last words"]


def test_follow_waits_for_the_rest_of_a_line_and_passes_over_junk(stream: Path) -> None:
    whole = '{"kind": "note", "message": "whole"}\n'
    stream.write_text("no json\n[1]\n" + whole[:10])
    left = [whole[10:]]
    seen = []
    for event in follow(stream, lambda: bool(left) or not seen, poll_s=0.001):
        if event is None and left:
            with stream.open("a") as end:
                end.write(left.pop())
        elif event is not None:
            seen.append(event["message"])
    assert seen == ["whole"]


def _run_of_two_steps() -> None:
    for name in ("split", "train"):
        events.set_step(name)
        events.emit("start")
        events.progress(1, 2, "epoch", loss=0.25)
        events.emit("done", seconds=1.25, cached=name == "split", out=f"/x/{name}")


def test_without_a_terminal_there_is_one_line_a_finished_step(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run_of_two_steps()
    progress = watch(stream, lambda: False)
    assert capsys.readouterr().out == "split      reused\ntrain      1.2 s\n"
    assert progress.folders == {"split": Path("/x/split"), "train": Path("/x/train")}


def test_on_a_terminal_the_last_frame_shows_every_step(stream: Path) -> None:
    _run_of_two_steps()
    screen = io.StringIO()
    watch(
        stream,
        lambda: False,
        plan=["split", "train", "gate"],
        console=Console(file=screen, force_terminal=True, width=80),
    )
    last_frame = screen.getvalue().rsplit("split", 1)[1]
    assert "reused" in last_frame
    assert "1.2 s" in last_frame
    assert "gate" in last_frame


def test_the_running_row_shows_units_numbers_and_time_left(stream: Path) -> None:
    events.set_step("train")
    events.emit("start")
    time.sleep(0.01)
    events.progress(1, 3, "step", loss=0.25, epoch=2, epochs=8, val_augrc=0.0123456)
    progress = watch(stream, lambda: False, console=Console(file=io.StringIO()))
    screen = io.StringIO()
    Console(file=screen, width=120).print(table(progress, ["train"], time.time()))
    shown = screen.getvalue()
    for part in ("epoch 2/8", "step 1/3", "loss 0.25", "val augrc 0.01235", "0 s left"):
        assert part in shown


def test_square_brackets_in_a_note_are_text_not_markup(stream: Path) -> None:
    events.note("fields [red] and [/nonsense]")
    progress = watch(stream, lambda: False, console=Console(file=io.StringIO()))
    screen = io.StringIO()
    Console(file=screen, width=120).print(table(progress, [], 0.0))
    assert "fields [red] and [/nonsense]" in screen.getvalue()


def test_an_exception_of_alive_travels_on(stream: Path) -> None:
    def alive() -> bool:
        raise RuntimeError("signal")

    with pytest.raises(RuntimeError, match="signal"):
        watch(stream, alive)


def test_watching_draws_from_a_thread_and_ends_with_the_block(stream: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with watching(stream) as progress:
        _run_of_two_steps()
    assert list(progress.folders) == ["split", "train"]
    assert not [thread for thread in threading.enumerate() if thread.name == "stage1-watch"]
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (2 * 3600 + 600, "2 h 10 min")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
