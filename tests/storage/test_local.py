import errno
import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stage1.errors import BadInput, Conflict, NotFound, StorageError
from stage1.storage import LocalStore


def everything_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_was_put_is_got(store: LocalStore) -> None:
    version = store.put_new("a/b.json", b"one")
    assert store.get("a/b.json").data == b"one"
    assert store.get("a/b.json").version == version == hashlib.sha256(b"one").hexdigest()


def test_a_missing_object_is_not_found(store: LocalStore) -> None:
    with pytest.raises(NotFound, match="'a/b'"):
        store.get("a/b")
    store.put_new("a/b", b"")
    with pytest.raises(NotFound):
        store.get("a")
    with pytest.raises(NotFound):
        store.get("a/b/c")


def test_reading_creates_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "none")
    assert store.list() == []
    with pytest.raises(NotFound):
        store.get("a")
    assert not (tmp_path / "none").exists()


def test_list_shows_objects_only(store: LocalStore, tmp_path: Path) -> None:
    store.swap("a", b"2", store.put_new("a", b"1"))
    root = tmp_path / "store"
    (root / ".hidden").write_bytes(b"")
    (root / "odd name").write_bytes(b"")
    (root / "link").symlink_to(root / "a")
    (root / "linked").symlink_to(root)
    os.mkfifo(root / "pipe")
    assert store.list() == ["a"]
    assert (root / ".stage1" / "lock").exists(), "the lock lies in the store and must not be listed"


def test_a_link_or_a_pipe_is_not_read_as_an_object(store: LocalStore, tmp_path: Path) -> None:
    store.put_new("a", b"1")
    (tmp_path / "store" / "link").symlink_to(tmp_path / "store" / "a")
    os.mkfifo(tmp_path / "store" / "pipe")
    with pytest.raises(StorageError):
        store.get("link")
    with pytest.raises(NotFound, match="special file"):
        store.get("pipe")


def test_a_file_is_put_as_it_is(store: LocalStore, tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "big").write_bytes(data)
    version = store.put_file_new("x/big", tmp_path / "big")
    assert version == hashlib.sha256(data).hexdigest()
    assert store.get("x/big").data == data
    with pytest.raises(Conflict):
        store.put_file_new("x/big", tmp_path / "big")


def test_a_file_as_store_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="Need a folder"):
        LocalStore(tmp_path / "file")


def test_a_key_below_an_object_is_a_fault_that_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    store.put_new("a", b"1")
    with pytest.raises(StorageError, match="writing a/b"):
        store.put_new("a/b", b"2")
    assert everything_below(tmp_path / "store") == ["a"]


def test_nothing_but_objects_is_left(store: LocalStore, tmp_path: Path) -> None:
    version = store.put_new("a", b"1")
    store.swap("a", b"2", version)
    for attempt in (lambda: store.put_new("a", b"3"), lambda: store.swap("a", b"3", version)):
        with pytest.raises(Conflict):
            attempt()
    assert everything_below(tmp_path / "store") == [".stage1/lock", "a"]


def test_what_killed_writers_left_is_removed_a_day_later(store: LocalStore, tmp_path: Path) -> None:
    store.put_new("a", b"1")
    writing = tmp_path / "store" / ".stage1" / "writing"
    for name, hours in (("old", 25), ("young", 23)):
        (writing / name).write_bytes(b"half")
        os.utime(writing / name, (time.time() - hours * 3600,) * 2)
    store.put_new("b", b"1")
    assert [p.name for p in writing.iterdir()] == ["young"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_says_what_to_do(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    version = store.put_new("a", b"old")

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)  # a disk that reports late, as network disks do
    with pytest.raises(StorageError, match="Free space"):
        store.put_new("b", b"new")
    with pytest.raises(StorageError, match="Free space"):
        store.swap("a", b"new", version)
    monkeypatch.undo()
    assert everything_below(tmp_path / "store") == [".stage1/lock", "a"]
    assert store.get("a").data == b"old"


def test_a_fault_that_is_no_full_disk_does_not_advise_freeing_space(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(StorageError, match="hard links"):
        store.put_new("a", b"")
    assert store.list() == []


def test_objects_are_readable_by_whom_the_umask_lets(store: LocalStore, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store.put_new("a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "store" / "a").stat().st_mode & 0o777 == 0o644


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(["put", "swap", "stale"]), st.sampled_from("ab"), st.binary(max_size=3)), max_size=12
    )
)
def test_a_store_behaves_as_a_dictionary(
    actions: list[tuple[str, str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    model: dict[str, bytes] = {}
    for action, key, data in actions:
        version = store.get(key).version if key in model else None
        stale = hashlib.sha256(model.get(key, b"") + b"other").hexdigest()
        try:
            if action == "put":
                store.put_new(key, data)
            else:
                store.swap(key, data, version if action == "swap" else stale)
        except Conflict:
            assert action == "stale" or (action == "put" and key in model)
        else:
            assert action == "swap" or (action == "put" and key not in model)
            model[key] = data
    assert {key: store.get(key).data for key in store.list()} == model
