"""What every store promises, shown on a folder and on a real MinIO server."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stage1.errors import BadInput, Conflict, NotFound, StorageError
from stage1.storage import Store, open_beside, open_store


def test_an_empty_object_is_an_object(either: Store) -> None:
    either.put_new("empty", b"")
    assert either.get("empty").data == b""
    assert either.list() == ["empty"]


def test_put_new_never_replaces(either: Store) -> None:
    either.put_new("a", b"first")
    with pytest.raises(Conflict, match="exists already"):
        either.put_new("a", b"second")
    with pytest.raises(Conflict, match="exists already"):
        either.swap("a", b"second", None)
    assert either.get("a").data == b"first"


def test_swap_needs_the_version_that_is_there(either: Store) -> None:
    first = either.swap("a", b"1", None)
    second = either.swap("a", b"2", first)
    with pytest.raises(Conflict, match="changed by another writer"):
        either.swap("a", b"3", first)
    assert either.get("a").data == b"2"
    assert either.get("a").version == second


def test_swap_of_what_is_gone_is_a_conflict_and_creates_nothing(either: Store) -> None:
    with pytest.raises(Conflict, match="gone"):
        either.swap("a", b"1", "0" * 64)
    assert either.list() == []


def test_get_refuses_more_than_was_asked_for(either: Store) -> None:
    either.put_new("a", b"12345")
    assert either.get("a", max_bytes=5).data == b"12345"
    with pytest.raises(StorageError, match="5 bytes, at most 4"):
        either.get("a", max_bytes=4)


def test_list_is_sorted_and_keeps_to_its_prefix(either: Store) -> None:
    for key in ("b/2", "b/1", "b/c/3", "bb", "a"):
        either.put_new(key, b"")
    assert either.list() == ["a", "b/1", "b/2", "b/c/3", "bb"]
    assert either.list("b") == ["b/1", "b/2", "b/c/3", "bb"]
    assert either.list("b/") == ["b/1", "b/2", "b/c/3"]
    assert either.list("b/c") == ["b/c/3"]
    assert either.list("none/") == []
    assert either.list("a/") == []


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_cannot_be_read_is_bad_input(either: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="Name a file"):
        either.put_file_new("x", tmp_path / name)
    assert either.list() == []


def test_what_was_put_is_got_with_its_version(either: Store) -> None:
    version = either.put_new("a/b.json", b"one")
    assert either.get("a/b.json").data == b"one"
    assert either.get("a/b.json").version == version
    with pytest.raises(NotFound, match="no/such"):
        either.get("no/such")


def test_a_file_is_put_as_it_is_and_never_replaced(either: Store, tmp_path: Path) -> None:
    data = os.urandom((3 << 20) + 17)
    (tmp_path / "big").write_bytes(data)
    version = either.put_file_new("x/big", tmp_path / "big")
    assert either.get("x/big").data == data
    assert either.get("x/big").version == version
    (tmp_path / "big").write_bytes(b"other" * 100_000)
    with pytest.raises(Conflict, match="exists already"):
        either.put_file_new("x/big", tmp_path / "big")
    assert either.get("x/big").data == data


@pytest.mark.parametrize("key", ["", "/a", "../a", "a//b", ".a", "a b", "a\n", "\u00e4"])
def test_what_is_no_key_is_bad_input(either: Store, key: str) -> None:
    for use in (either.get, lambda k: either.put_new(k, b""), lambda k: either.swap(k, b"", None)):
        with pytest.raises(BadInput, match="Need a key"):
            use(key)
    assert either.list() == []


def test_of_16_threads_one_creates_and_one_swaps(either: Store) -> None:
    def attempt(action: str, n: int) -> bytes | None:
        data = f"{action} {n}".encode()  # equal bytes would be an equal version
        try:
            if action == "put":
                either.put_new("a", data)
            else:
                either.swap("a", data, version)
        except Conflict:
            return None
        return data

    version = ""
    for action in ("put", "swap"):
        with ThreadPoolExecutor(16) as threads:
            won = [data for data in threads.map(lambda n, action=action: attempt(action, n), range(16)) if data]
        read = either.get("a")
        assert won == [read.data]
        version = read.version


def test_uri_of_opens_again(either: Store) -> None:
    either.put_new("channels/demo.json", b"1")
    uri = either.uri_of("channels/demo.json")
    store, key = open_beside(uri, names=2)
    assert (key, store.get(key).data, store.uri_of(key)) == ("channels/demo.json", b"1", uri)
    assert open_store(either.uri_of("channels/")).get("demo.json").data == b"1"


def test_a_store_travels_to_another_process(either: Store) -> None:
    either.put_new("a", b"1")
    assert pickle.loads(pickle.dumps(either)).get("a").data == b"1"


def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(either: Store) -> None:
    either.put_new("states/one", b"1")
    either.put_new("states/two", b"2")
    for _ in range(2):
        either.remove("states/one")
        assert either.list("states/") == ["states/two"]
    with pytest.raises(NotFound):
        either.get("states/one")
    either.put_new("states/one", b"again")
    assert either.get("states/one").data == b"again"
