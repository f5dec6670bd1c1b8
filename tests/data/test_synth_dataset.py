"""The written set: bytes, layout, all or nothing, and using an earlier result again."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stage1.data.synth import SynthConfig, contact_sheet, dataset, render_scene, synthesize
from stage1.errors import BadInput, Stage1Error

CONFIG = SynthConfig(num_drives=6, frames_per_drive=5, seed=11)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "scenes"
    return out, synthesize(out, CONFIG)


def test_layout_is_what_the_split_step_reads(written):
    out, summary = written
    with (out / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "label", "group", "source"]
    assert len(rows) == summary.num_images == 30
    assert sum(int(row["label"]) for row in rows) == summary.num_positives
    assert len({row["group"] for row in rows}) == summary.num_drives == 6
    assert sum(summary.by_weather.values()) == 30
    for row in rows:
        assert row["path"].startswith(f"images/{row['group']}/")
        with Image.open(out / row["path"]) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))


def test_files_show_the_rendered_scenes(written):
    out, _ = written
    scene = render_scene(CONFIG, 2, 3)
    with Image.open(out / "images/drive-0002/003.jpg") as image:
        stored = np.asarray(image, dtype=np.float64)
    assert np.abs(stored - scene.image).mean() < 3.0


def test_bytes_are_equal_for_one_process_and_two(written, tmp_path):
    out, summary = written
    again = synthesize(tmp_path / "again", CONFIG, processes=2)
    assert tree(tmp_path / "again") == tree(out)
    assert again == summary


def test_another_seed_gives_other_bytes(written, tmp_path):
    _, summary = written
    other = synthesize(tmp_path / "other", CONFIG.model_copy(update={"seed": 12}))
    assert other.digest != summary.digest


def test_identical_earlier_result_is_used_again(written):
    out, summary = written
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert synthesize(out, CONFIG) == replace(summary, reused=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_result_of_another_config_is_refused(written):
    out, _ = written
    with pytest.raises(BadInput, match=r"another config.*Choose another folder"):
        synthesize(out, CONFIG.model_copy(update={"seed": 12}))


def test_result_of_other_code_is_refused(tmp_path):
    out = tmp_path / "scenes"
    synthesize(out, SynthConfig(num_drives=1, frames_per_drive=2))
    record = json.loads((out / "synth.json").read_text())
    (out / "synth.json").write_text(json.dumps({**record, "code": "0" * 64}))
    with pytest.raises(BadInput, match="another code"):
        synthesize(out, SynthConfig(num_drives=1, frames_per_drive=2))


@pytest.mark.parametrize("victim", ["labels.csv", "images/drive-0000/001.jpg"])
@pytest.mark.parametrize("deed", ["change", "delete"])
def test_tampered_result_is_refused(tmp_path, victim, deed):
    out, config = tmp_path / "scenes", SynthConfig(num_drives=1, frames_per_drive=2)
    synthesize(out, config)
    if deed == "delete":
        (out / victim).unlink()
    else:
        (out / victim).write_bytes((out / victim).read_bytes() + b"\n")
    with pytest.raises(BadInput, match="changed after they were written"):
        synthesize(out, config)


def test_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(BadInput, match="Choose another folder"):
        synthesize(out, CONFIG)
    assert tree(tmp_path) == {"photos/mine.txt": b"keep me"}


def test_file_in_the_way_is_refused(tmp_path):
    out = tmp_path / "scenes"
    out.write_text("a file")
    with pytest.raises(BadInput, match="Choose another folder"):
        synthesize(out, CONFIG)


def test_empty_folder_and_missing_parents_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    small = SynthConfig(num_drives=1, frames_per_drive=2)
    assert synthesize(tmp_path / "empty", small).num_images == 2
    assert synthesize(tmp_path / "a" / "b", small).num_images == 2


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("bug")])
def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch, fault):
    honest = dataset.render_scene

    def stumble(config, drive, frame):
        if drive == 3:
            raise fault
        return honest(config, drive, frame)

    monkeypatch.setattr(dataset, "render_scene", stumble)
    with pytest.raises(type(fault)):
        synthesize(tmp_path / "scenes", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(dataset.Path, "write_bytes", full)
    with pytest.raises(Stage1Error, match=r"No space left on device.*MB") as caught:
        synthesize(tmp_path / "scenes", CONFIG)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys
from pathlib import Path
from stage1.data.synth import SynthConfig, synthesize
if __name__ == "__main__":
    synthesize(Path(sys.argv[1]), SynthConfig(num_drives=2000), processes=2)
"""


def living(group: int) -> list[str]:
    """Return the processes of a group that still run; a zombie that nobody has collected does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(path.parent.name)
    return found


def test_ctrl_c_ends_every_process_and_leaves_nothing(tmp_path):
    script, room = tmp_path / "draw.py", tmp_path / "room"
    script.write_text(SCRIPT)
    room.mkdir()
    child = subprocess.Popen(
        [sys.executable, str(script), str(room / "scenes")], start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not list(room.rglob("*.jpg")):
            assert time.monotonic() < deadline, "no image within a minute"
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(30) != 0
        assert list(room.iterdir()) == []
        while left := living(child.pid):
            assert time.monotonic() < deadline, f"processes {left} outlived Ctrl-C"
            time.sleep(0.05)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def test_progress_is_told_drive_by_drive(tmp_path, monkeypatch):
    monkeypatch.setenv("STAGE1_EVENTS", str(tmp_path / "events.jsonl"))
    synthesize(tmp_path / "scenes", SynthConfig(num_drives=3, frames_per_drive=1))
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["done"], event["total"], event["unit"]) for event in told] == [(k, 3, "drive") for k in (1, 2, 3)]


def test_contact_sheet_is_a_jpg_and_leaves_nothing_else(tmp_path):
    out = contact_sheet(tmp_path / "img" / "sheet.jpg", SynthConfig(num_drives=8, frames_per_drive=3))
    with Image.open(out) as image:
        assert image.format == "JPEG"
        # Ten tiles of 128 px, nine gaps of 4 px and two margins of 20 px.
        assert image.width == 10 * 128 + 9 * 4 + 2 * 20
    assert list(out.parent.iterdir()) == [out]


def test_speed_is_printed(written, capsys):
    start = time.process_time()
    for frame in range(CONFIG.frames_per_drive):
        render_scene(CONFIG, 1, frame)
    with capsys.disabled():
        print(f"\n{CONFIG.frames_per_drive / (time.process_time() - start):.0f} scenes a CPU second")
