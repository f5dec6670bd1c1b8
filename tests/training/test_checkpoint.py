"""Checkpoints: the newest whole one wins, two are kept, and a full disk leaves those before untouched."""

import errno
import json
from pathlib import Path

import pytest
import torch

from stage1.errors import StorageError
from stage1.storage import open_store
from stage1.training.checkpoint import Checkpoints, Copies


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


@pytest.fixture(params=["folder", "minio"])
def copies(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copies:
    """A second place: a folder, then a prefix of a bucket on a real server."""
    if request.param == "folder":
        return Copies(open_store(str(tmp_path / "second")), "train-abc")
    server = request.getfixturevalue("minio")
    server.use(monkeypatch)
    return Copies(open_store(f"s3://{server.new_bucket()}/states"), "train-abc")


def test_another_machine_goes_on_from_the_copies_and_the_last_three_are_kept(tmp_path: Path, copies: Copies) -> None:
    here = Checkpoints(tmp_path / "here", 3, copies)
    for number in range(5):
        here.save(number, state(number))
    assert len(list((tmp_path / "here").iterdir())) == 3
    assert copies.names() == sorted(path.name for path in (tmp_path / "here").iterdir())
    there = Checkpoints(tmp_path / "there", 3, copies)
    assert number_of(there.newest()) == 4
    there.save(5, state(5))
    assert number_of(Checkpoints(tmp_path / "here", 3, copies).newest()) == 5, "newer than what this machine has"
    assert [name[:6] for name in copies.names()] == ["000003", "000004", "000005"]


def test_what_is_damaged_here_is_taken_from_the_copy_and_a_damaged_copy_from_before(
    tmp_path: Path, copies: Copies, said: Path
) -> None:
    checkpoints = Checkpoints(tmp_path / "here", 2, copies)
    for number in range(2):
        checkpoints.save(number, state(number))
    newest = max((tmp_path / "here").iterdir())
    newest.write_bytes(b"")
    assert number_of(checkpoints.newest()) == 1
    assert f"{newest.name} is damaged" in said.read_text()
    found = copies.store.get(copies.key(newest.name))
    copies.store.swap(copies.key(newest.name), found.data[:-1], found.version)
    assert number_of(Checkpoints(tmp_path / "elsewhere", 2, copies).newest()) == 0


def test_a_second_place_that_takes_nothing_is_said_and_training_goes_on(
    tmp_path: Path, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "second").mkdir()
    store = open_store(str(tmp_path / "second"))

    def full(*_: object) -> str:
        raise StorageError("there is no room")

    monkeypatch.setattr(store, "put_file_new", full)
    checkpoints = Checkpoints(tmp_path / "run", 2, Copies(store, "train-abc"))
    checkpoints.save(7, state(7))
    assert "is on this machine only: there is no room" in json.loads(said.read_text())["message"]
    assert number_of(checkpoints.newest()) == 7
