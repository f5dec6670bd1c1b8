"""Checkpoints: the newest whole one wins, two are kept, and a full disk leaves those before untouched."""

import errno
import json
from pathlib import Path

import pytest
import torch

from stage1.errors import StorageError
from stage1.training.checkpoint import Checkpoints


def state(number: int) -> dict[str, object]:
    return {"weights": torch.arange(5) * number, "rows": [{"epoch": number, "auroc": None}], "name": "x"}


def saved(folder: Path, count: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for number in range(count):
        checkpoints.save(number, state(number))
    return checkpoints


def number_of(found: dict[str, object] | None) -> int | None:
    return None if found is None else found["rows"][0]["epoch"]  # type: ignore[index]


def test_nothing_is_found_where_nothing_was_saved(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").newest() is None


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 12)
    found = checkpoints.newest()
    assert number_of(found) == 11
    assert found is not None
    assert torch.equal(found["weights"], torch.arange(5) * 11)
    assert len(list(tmp_path.iterdir())) == 2


def test_of_two_saves_in_one_step_the_later_is_the_newest(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for number in range(20):
        checkpoints.save(7, state(number))
        assert number_of(checkpoints.newest()) == number


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path: Path, said: Path, damage: str) -> None:
    checkpoints = saved(tmp_path / "run", 3)
    newest = max((tmp_path / "run").iterdir())
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"truncated": bytes(data[:-1]), "flipped": bytes(data), "empty": b""}[damage])
    assert number_of(checkpoints.newest()) == 1
    assert f"{newest.name} is damaged; falling back" in json.loads(said.read_text())["message"]
    checkpoints.save(9, state(9))
    assert number_of(checkpoints.newest()) == 9
    max((tmp_path / "run").iterdir()).write_bytes(b"")
    assert number_of(checkpoints.newest()) == 1, "the damaged one took no place of a good one"


def test_all_damaged_is_nothing(tmp_path: Path, said: Path) -> None:
    checkpoints = saved(tmp_path / "run", 2)
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"")
    assert checkpoints.newest() is None
    assert len(said.read_text().splitlines()) == 2


def test_a_full_disk_is_a_storage_error_and_the_checkpoints_before_remain(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 2)
    (tmp_path / "writing.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"checkpoint of step 7 .* could not be written .*No space left") as caught:
        checkpoints.save(7, state(7))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert number_of(checkpoints.newest()) == 1
    checkpoints.save(8, state(8))
    assert number_of(checkpoints.newest()) == 8


def test_what_a_killed_writer_left_is_overwritten_and_never_read(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    (tmp_path / "writing.tmp").write_bytes(b"half")
    assert number_of(checkpoints.newest()) == 0
    checkpoints.save(1, state(1))
    assert not (tmp_path / "writing.tmp").exists()
