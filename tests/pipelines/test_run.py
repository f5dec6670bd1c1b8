"""The runner with a pipeline of quick steps: endings, exit codes, words, lock, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.folder import RunFolder
from stage1.errors import BadInput

ROOT = Path(__file__).parents[2]


class Runner:
    """`python -m pipelines run` on the quick pipeline, in the foreground or behind us."""

    def __init__(self, pipeline: Path, out: Path) -> None:
        self.pipeline, self.out = pipeline, out
        self.started: list[subprocess.Popen[str]] = []

    def command(self, data: str, *more: str) -> list[str]:
        options = ["--data", data, "--out", str(self.out), "--pipeline", str(self.pipeline)]
        return [sys.executable, "-m", "pipelines", "run", *options, *more]

    def run(self, data: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(data, *more), cwd=ROOT, capture_output=True, text=True, timeout=120)

    def start(self, data: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(self.command(data), cwd=ROOT, **pipes, **options)
        self.started.append(process)
        return process

    def end(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.out / "end.json").read_text())
        return record

    def wait_for_progress(self) -> None:
        _wait_until(lambda: '"progress"' in _text(self.out / "events.jsonl"), "progress of the slow step")

    def alive(self) -> list[str]:
        """Command lines of living processes that belong to this run."""
        lines = (_text(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
        return [line for line in lines if str(self.out) in line and "pipelines\0run" not in line]


@pytest.fixture
def runner(quick: Path, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(quick, tmp_path / "run")
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout_s} s"
        time.sleep(0.05)


def test_a_yes_of_the_gate_runs_the_branch_and_exits_0(runner: Runner) -> None:
    done = runner.run("promote")
    assert done.returncode == 0, done.stderr
    assert "PROMOTED to channel test, sequence 7" in done.stdout
    assert runner.end()["state"] == "promoted"
    assert {path.name for path in (runner.out / "latest").iterdir()} == {"split", "gate", "promote"}


def test_a_no_of_the_gate_skips_the_branch_and_exits_3(runner: Runner) -> None:
    done = runner.run("refuse")
    assert done.returncode == 3, done.stderr
    assert "REFUSED\n  too few answers" in done.stdout
    assert runner.end() == {"schema": "stage1/end/v1", "exit_code": 3, "state": "refused", "step": "", "message": ""}
    assert "promote" not in _text(runner.out / "events.jsonl")


def test_a_refusal_after_a_promotion_shows_nothing_of_the_promotion(runner: Runner) -> None:
    assert runner.run("promote").returncode == 0
    done = runner.run("refuse")
    assert done.returncode == 3
    assert "PROMOTED" not in done.stdout
    assert not (runner.out / "latest" / "promote").exists()


def test_bad_input_is_its_message_and_exit_2_without_a_traceback(runner: Runner) -> None:
    done = runner.run("bad")
    assert done.returncode == 2
    assert "gate: Need 149 positives, got 3." in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert runner.end()["step"] == "gate"
    begun = [line for line in _text(runner.out / "events.jsonl").splitlines() if '"gate"' in line and '"start"' in line]
    assert len(begun) == 1, "a cluster's retry is no use here: the input stays bad"


def test_a_fault_shows_the_last_words_of_the_step_that_failed(runner: Runner) -> None:
    done = runner.run("fault")
    assert done.returncode == 1
    assert "gate: disk on fire" in done.stderr
    assert "RuntimeError: disk on fire" in done.stderr


def test_a_step_that_dies_silently_is_named_with_what_it_printed(runner: Runner) -> None:
    done = runner.run("silent")
    assert done.returncode == 1
    assert "gate: The step's process died without a word" in done.stderr
    assert "no last words but these" in done.stderr


def test_an_unknown_field_ends_the_run_before_its_first_task(runner: Runner) -> None:
    done = runner.run("promote", "--set", "train.batchsize=3")
    assert done.returncode == 2
    assert "batchsize" in done.stderr
    assert "batch_size" in done.stderr, "the allowed fields"
    assert "Traceback" not in done.stdout + done.stderr
    assert not (runner.out / "artifacts").exists()


def test_a_file_that_is_no_pipeline_is_a_fault_with_the_end_of_the_log(runner: Runner, tmp_path: Path) -> None:
    runner.pipeline = tmp_path / "no.yaml"
    done = runner.run("promote")
    assert done.returncode == 1
    assert "no.yaml" in done.stderr


def test_without_a_terminal_the_output_is_a_line_a_step_and_the_summary(runner: Runner) -> None:
    lines = runner.run("promote").stdout.splitlines()
    assert lines[:4] == ["split      0.1 s", "gate       reused", "promote    0.0 s", ""]
    assert "\x1b" not in "".join(lines)


def test_nothing_is_left_in_the_temporary_folder(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert runner.run("promote").returncode == 0
    assert list(scratch.iterdir()) == []


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(runner: Runner) -> None:
    first = runner.start("slow")
    runner.wait_for_progress()
    second = runner.run("promote")
    assert second.returncode == 2
    assert f"process {first.pid}" in second.stderr
    assert first.poll() is None
    (runner.out / "cache" / "enough").touch()
    assert first.wait(60) == 0


def test_the_lock_is_free_again_after_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked(), pytest.raises(BadInput, match=f"process {os.getpid()}"), folder.locked():
        pass
    with folder.locked() as descriptor:
        assert descriptor > 0


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="--out"), RunFolder(tmp_path / "file").locked():
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_cleanly_and_running_again_goes_on(runner: Runner, number: int, code: int) -> None:
    process = runner.start("slow")
    runner.wait_for_progress()
    process.send_signal(number)
    assert process.wait(30) == code
    assert runner.end()["state"] == "interrupted"
    assert runner.end()["step"] == "split"
    saved = int((runner.out / "cache" / "count").read_text())
    assert saved >= 1
    assert runner.alive() == []
    assert process.stderr is not None
    assert "goes on from what is done" in process.stderr.read()

    (runner.out / "cache" / "enough").touch()
    again = runner.run("slow")
    assert again.returncode == 0, again.stderr
    assert int((runner.out / "latest" / "split" / "count").read_text()) == saved


def test_no_further_step_begins_after_a_signal(runner: Runner) -> None:
    process = runner.start("slow")
    runner.wait_for_progress()
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert "Executing task" in _text(runner.out / "run.log")
    assert '"gate"' not in _text(runner.out / "events.jsonl")
    assert "finished with status \x1b[92mSUCCESS" not in _text(runner.out / "run.log")


def test_a_signal_that_the_shell_ignores_for_us_still_reaches_the_step(runner: Runner) -> None:
    """A shell starts `make demo &` with SIGINT ignored; the steps must not inherit that."""
    process = runner.start("slow", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    runner.wait_for_progress()
    process.send_signal(signal.SIGTERM)
    assert process.wait(14) == 143, "sooner than the 15 s after which a step is killed"
    assert int((runner.out / "cache" / "count").read_text()) >= 1


def test_a_second_signal_ends_a_stubborn_step_at_once(runner: Runner) -> None:
    process = runner.start("stubborn")
    runner.wait_for_progress()
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None, "the first signal waits for a checkpoint"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert runner.alive() == []


@pytest.mark.long
def test_a_stubborn_step_is_killed_after_15_seconds(runner: Runner) -> None:
    process = runner.start("stubborn")
    runner.wait_for_progress()
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(30) == 143
    assert 14 < time.monotonic() - began < 20
    assert runner.alive() == []


def test_a_killed_runner_takes_its_steps_with_it_and_frees_the_folder(runner: Runner) -> None:
    process = runner.start("slow")
    runner.wait_for_progress()
    process.kill()
    process.wait(10)
    _wait_until(lambda: runner.alive() == [], "end of the orphans")
    (runner.out / "cache" / "enough").touch()
    assert runner.run("slow").returncode == 0
