"""What every step has in common, shown on a step that writes one file."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from stage1 import events
from stage1.errors import BadArtifact, BadConfig, BadInput, Interrupted, StorageError
from stage1.steps.artifact import read_artifact
from stage1.steps.place import CACHE, resume_folder
from stage1.steps.step import StepResult, read_config, step


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: int = 2


@dataclass(frozen=True)
class Grown(StepResult):
    size: int
    note: str
    share: float | None = None
    data_digest: str = ""


CALLS: list[str] = []


@step()
def seed(out: Path, *, config: Section = Section()) -> Grown:
    CALLS.append("seed")
    (out / "text.txt").write_text("x" * config.factor)
    return Grown(config.factor, "sown", data_digest=f"digest-{config.factor % 10}")


@step()
def grow(source: Path, out: Path, *, config: Section = Section()) -> Grown:
    CALLS.append("grow")
    text = (source / "text.txt").read_text()
    (out / "text.txt").write_text(text * config.factor)
    return Grown(len(text) * config.factor, "grown")


@step()
def join(left: Path, right: Path, out: Path, *, config: Section = Section()) -> Grown:
    (out / "text.txt").write_text(str(left) + str(right))
    return Grown(0, "joined")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    CALLS.clear()
    monkeypatch.delenv(CACHE, raising=False)
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events.jsonl"))


def told(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


def test_output_carries_its_origin_and_nothing_of_the_clock(tmp_path: Path) -> None:
    seed(tmp_path / "a")
    seed(tmp_path / "b")
    assert (tmp_path / "a/step.json").read_bytes() == (tmp_path / "b/step.json").read_bytes()
    record = read_artifact(tmp_path / "a", "a").record
    assert record["config"] == {"factor": 2}
    assert record["result"]["size"] == 2
    assert record["data_digest"] == "digest-2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "events.jsonl"]


def test_only_finite_numbers_are_metrics() -> None:
    assert Grown(3, "three", float("inf")).metrics() == {"size": 3.0}


@pytest.mark.parametrize("damage", ["change", "remove", "add", "record"])
def test_a_changed_input_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    seed(tmp_path / "a")
    if damage == "change":
        (tmp_path / "a/text.txt").write_text("xy")
    elif damage == "remove":
        (tmp_path / "a/text.txt").unlink()
    elif damage == "add":
        (tmp_path / "a/more.txt").write_text("")
    else:
        (tmp_path / "a/step.json").write_text("{")
    with pytest.raises(BadArtifact, match="source"):
        grow(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_folder_that_no_step_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match=r"has no step\.json"):
        grow(tmp_path, tmp_path / "b")


def test_folders_of_two_data_sets_are_not_mixed(tmp_path: Path) -> None:
    seed(tmp_path / "a", config=Section(factor=2))
    seed(tmp_path / "b", config=Section(factor=3))
    with pytest.raises(BadArtifact, match="different data sets"):
        join(tmp_path / "a", tmp_path / "b", tmp_path / "c")


def test_a_foreign_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not written by a step"):
        seed(tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    assert CALLS == []


def test_an_earlier_output_is_replaced(tmp_path: Path) -> None:
    seed(tmp_path / "a", config=Section(factor=2))
    seed(tmp_path / "a", config=Section(factor=5))
    assert (tmp_path / "a/text.txt").read_text() == "xxxxx"


def test_the_cache_answers_for_equal_content_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    seed(tmp_path / "a")
    first = grow(tmp_path / "a", tmp_path / "b")
    assert grow(tmp_path / "a", tmp_path / "c") == first
    assert CALLS == ["seed", "grow"]
    grow(tmp_path / "a", tmp_path / "d", config=Section(factor=7))
    seed(tmp_path / "a", config=Section(factor=12))
    grow(tmp_path / "a", tmp_path / "e")
    assert CALLS == ["seed", "grow", "grow", "seed", "grow"]
    assert [event["cached"] for event in told(tmp_path) if event["kind"] == "done"] == [
        False,
        False,
        True,
        *[False] * 3,
    ]


def test_a_damaged_cache_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    seed(tmp_path / "a")
    (tmp_path / "a/text.txt").write_text("??")  # a hard link: the cache is changed with it
    seed(tmp_path / "b")
    assert CALLS == ["seed", "seed"]
    assert (tmp_path / "b/text.txt").read_text() == "xx"


@step()
def fail(out: Path, *, config: Section = Section()) -> Grown:
    (out / "half.txt").write_text("half")
    (resume_folder(out) / "state").parent.mkdir(exist_ok=True)
    (resume_folder(out) / "state").write_text("kept")
    raise OSError(errno.ENOSPC, "No space left on device", str(out / "half.txt"))


def test_a_full_disk_leaves_no_output_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk is full"):
        fail(tmp_path / "a")
    assert not (tmp_path / "a").exists()
    failed = told(tmp_path)[-1]
    assert failed["kind"] == "failed"
    assert failed["exit_code"] == 1
    [state] = tmp_path.glob(".fail-*/resume/state")
    assert state.read_text() == "kept"


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a tmpfs of 64 KiB, so that the operating system itself says no."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        with pytest.raises(StorageError, match="make room"):
            seed(small / "a", config=Section(factor=200_000))
        assert not (small / "a").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_signals_end_a_step_cleanly(tmp_path: Path) -> None:
    @step()
    def interrupted(out: Path, *, config: Section = Section()) -> Grown:
        os.kill(os.getpid(), signal.SIGTERM if config.factor == 2 else signal.SIGINT)
        return Grown(0, "")

    for factor, code in ((2, 143), (3, 130)):
        with pytest.raises(Interrupted) as caught:
            interrupted(tmp_path / "a", config=Section(factor=factor))
        assert caught.value.exit_code == code
        assert not (tmp_path / "a").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_sections_are_read_strictly() -> None:
    assert read_config(seed, "") == Section()
    assert read_config(seed, '{"factor": 9}') == Section(factor=9)
    with pytest.raises(BadConfig, match=r"step seed: colour"):
        read_config(seed, '{"colour": 1}')
    with pytest.raises(BadConfig, match="not JSON"):
        read_config(seed, "{")


@pytest.mark.parametrize("name", ["split", "calibrate", "evaluate", "gate", "report", "export", "promote", "configure"])
def test_steps_after_predict_need_no_torch(name: str) -> None:
    code = f"import sys; import stage1.steps.{name}; print(any(m in sys.modules for m in ('torch', 'timm', 'kfp')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
