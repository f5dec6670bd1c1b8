"""What the store promises when many processes write and some are killed."""

import json
import signal
import time
from pathlib import Path

import pytest

from stage1.storage import LocalStore, Store
from tests.storage.conftest import Start

SWAPPER = """
import json, sys
from stage1.errors import Conflict
from stage1.storage import open_store
store, me, wins = open_store(sys.argv[1]), int(sys.argv[2]), []
sys.stdin.readline()
while len(wins) < 5:
    read = store.get("counter")
    log = json.loads(read.data)
    try:
        store.swap("counter", json.dumps(log + [me]).encode(), read.version)
    except Conflict:
        continue
    wins.append(len(log))
print(json.dumps(wins))
"""

CREATOR = """
import sys
from stage1.errors import Conflict
from stage1.storage import open_store
store, me = open_store(sys.argv[1]), sys.argv[2]
sys.stdin.readline()
won = []
for n in range(20):
    try:
        store.put_new(f"k/{n}", me.encode()) if n % 2 else store.swap(f"k/{n}", me.encode(), None)
        won.append(str(n))
    except Conflict:
        pass
print(" ".join(won))
"""

WRITER = """
import sys
from stage1.storage import open_store
store = open_store(sys.argv[1])
print("go", flush=True)
n = 0
while True:
    store.put_new(f"{sys.argv[2]}/{n}", bytes([n % 251]) * 4_000_000)
    read = store.get("pointer")
    store.swap("pointer", bytes([read.data[0] % 250 + 1]) * 4_000_000, read.version)
    n += 1
"""

HOLDER = """
import sys, time
from stage1.storage import open_store
with open_store(sys.argv[1])._lock():
    print("held", flush=True)
    time.sleep(600)
"""

LIMITED = """
import resource, sys
from stage1.errors import StorageError
from stage1.storage import open_store
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    store.put_new("big", bytes(3_000_000))
except StorageError as error:
    print(error)
"""


def finish(processes: list, timeout: float = 120) -> list[str]:  # type: ignore[type-arg]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=timeout) for process in processes]
    assert [error for _, error in outputs if error] == []
    return [output for output, _ in outputs]


def test_of_16_swappers_exactly_one_wins_each_version(either: Store, start: Start) -> None:
    either.put_new("counter", b"[]")
    outputs = finish([start(SWAPPER, either.uri_of("x").removesuffix("/x"), n) for n in range(16)])
    wins = {n: json.loads(output) for n, output in enumerate(outputs)}
    log = json.loads(either.get("counter").data)
    assert len(log) == 16 * 5, "no win was lost"
    assert sorted(place for places in wins.values() for place in places) == list(range(80)), "no version was won twice"
    assert all(log[place] == n for n, places in wins.items() for place in places)


def test_of_16_creators_exactly_one_makes_each_object(either: Store, start: Start) -> None:
    outputs = finish([start(CREATOR, either.uri_of("x").removesuffix("/x"), n) for n in range(16)])
    winners = {key: n for n, output in enumerate(outputs) for key in output.split()}
    assert sum(len(output.split()) for output in outputs) == 20 == len(winners)
    assert {key: either.get(f"k/{key}").data for key in winners} == {k: str(n).encode() for k, n in winners.items()}


@pytest.mark.parametrize("trial", range(6))
def test_a_killed_writer_leaves_whole_objects_only(store: LocalStore, tmp_path: Path, start: Start, trial: int) -> None:
    store.put_new("pointer", b"\x01" * 4_000_000)
    process = start(WRITER, tmp_path / "store", trial)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    deadline = time.monotonic() + 0.05 + 0.037 * trial
    reads = 0
    while time.monotonic() < deadline or reads < 3:
        data = store.get("pointer").data
        assert data == data[:1] * 4_000_000, "a reader sees a whole object throughout"
        reads += 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for key in store.list():
        data = store.get(key).data
        assert data == data[:1] * 4_000_000, f"{key} is torn"
    version = store.get("pointer").version
    store.swap("pointer", b"after", version)
    assert store.get("pointer").data == b"after", "the lock of a killed writer is free"


def test_a_lock_that_is_not_given_back_is_said_and_a_killed_holder_frees_it(
    store: LocalStore, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stage1.errors import StorageError

    version = store.put_new("a", b"1")
    holder = start(HOLDER, tmp_path / "store")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    monkeypatch.setattr("stage1.storage.local._LOCK_TIMEOUT_S", 0.2)
    with pytest.raises(StorageError, match="Another process has held"):
        store.swap("a", b"2", version)
    assert store.get("a").data == b"1"
    holder.kill()
    holder.communicate()
    store.swap("a", b"2", version)
    assert store.get("a").data == b"2"


def test_a_file_that_may_not_grow_leaves_nothing(store: LocalStore, tmp_path: Path, start: Start) -> None:
    output, error = start(LIMITED, tmp_path / "store").communicate(timeout=60)
    assert error == ""
    assert "Free space or raise the quota" in output
    assert store.list() == []
    assert list((tmp_path / "store" / ".stage1" / "writing").iterdir()) == []
