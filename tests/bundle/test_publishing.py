"""Promotion and rollback on a real store."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stage1.bundle import Bundle, BundleRejected, Channel, promote, record_look, rollback, verify
from stage1.errors import BadInput, Conflict, StorageError
from stage1.storage import LocalStore, Store, StoredObject
from tests.bundle.making import Maker, champion, decision
from tests.promotion.candidates import CHAMPION, OTHER, TEST


def next_bundle(make: Maker, store: Store, version: str = "", **changes: Any) -> Path:
    """A bundle as export would make it now: next in sequence, judged against what the channel points at."""
    channel = Channel(store, "demo")
    pointer = channel.read()
    judged = decision(champion=champion(pointer.digest, pointer.sequence) if pointer else None)
    sequence = channel.next_sequence()
    return make.path(**{"sequence": sequence, "version": version or str(sequence), "decision": judged} | changes)


def state(store: Store) -> dict[str, bytes]:
    return {key: store.get(key).data for key in store.list()}


class TestPromote:
    def test_a_promoted_bundle_is_what_the_channel_gives(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        promoted = promote(store, "demo", folder)
        digest = verify(folder).digest
        assert (promoted.digest, promoted.channel, promoted.sequence, promoted.changed) == (digest, "demo", 1, True)
        assert promoted.uri == store.uri_of(f"bundles/sha256/{digest}")
        for uri in (store.uri_of("channels/demo.json"), promoted.uri, f"file://{promoted.uri}"):
            assert Bundle.load(uri).digest == digest

    def test_the_store_holds_the_bundle_and_the_pointer_only(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        digest = promote(store, "demo", folder).digest
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        assert store.list() == sorted([f"bundles/sha256/{digest}/{name}" for name in files] + ["channels/demo.json"])
        assert all(store.get(f"bundles/sha256/{digest}/{name}").data == (folder / name).read_bytes() for name in files)

    def test_doing_it_again_changes_nothing(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        first = promote(store, "demo", folder)
        before = state(store)
        again = promote(store, "demo", folder)
        assert again == dataclasses.replace(first, changed=False)
        assert state(store) == before

    def test_the_next_bundle_takes_over(self, make: Maker, store: Store) -> None:
        first = promote(store, "demo", next_bundle(make, store))
        second = promote(store, "demo", next_bundle(make, store))
        assert (first.sequence, second.sequence) == (1, 2)
        history = Channel(store, "demo").history()
        assert [(e.digest, e.sequence, e.action, e.version) for e in history] == [
            (first.digest, 1, "promote", "1"),
            (second.digest, 2, "promote", "2"),
        ]
        assert Bundle.load(store.uri_of("channels/demo.json")).digest == second.digest

    def test_channels_are_independent_and_share_bundles(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        assert promote(store, "demo", folder).digest == promote(store, "other", folder).digest
        assert store.list("channels/") == ["channels/demo.json", "channels/other.json"]

    def test_of_two_bundles_judged_against_the_same_champion_one_is_promoted(self, make: Maker, store: Store) -> None:
        folders = [next_bundle(make, store, version=version) for version in "ab"]
        winner = promote(store, "demo", folders[0])
        before = state(store)
        with pytest.raises(Conflict, match="judged against no champion"):
            promote(store, "demo", folders[1])
        assert state(store) == before
        assert Channel(store, "demo").history()[-1].digest == winner.digest

    def test_a_number_that_the_channel_has_passed_is_a_conflict(self, make: Maker, store: Store) -> None:
        promote(store, "demo", next_bundle(make, store, sequence=5))
        late = next_bundle(make, store, sequence=5, version="late")
        with pytest.raises(Conflict, match="is at sequence 5, this bundle has 5"):
            promote(store, "demo", late)
        assert promote(store, "demo", next_bundle(make, store, sequence=6)).sequence == 6

    def test_a_bundle_judged_against_another_champion_is_a_conflict(self, make: Maker, store: Store) -> None:
        with pytest.raises(Conflict, match="points at nothing"):
            promote(store, "demo", make.path(decision=decision(champion=champion(CHAMPION, 1))))
        promote(store, "demo", next_bundle(make, store))
        stale = next_bundle(make, store, decision=decision(champion=champion(OTHER, 1)))
        with pytest.raises(Conflict, match=f"judged against {OTHER}"):
            promote(store, "demo", stale)

    def test_a_bundle_that_does_not_load_changes_nothing(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        (folder / "extra.md").write_text("x")
        with pytest.raises(BundleRejected):
            promote(store, "demo", folder)
        assert store.list() == []

    def test_other_bytes_under_the_bundles_digest_are_a_fault(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        store.put_new(f"bundles/sha256/{verify(folder).digest}/README.md", b"other")
        with pytest.raises(StorageError, match=r"README\.md exists with other bytes"):
            promote(store, "demo", folder)
        assert Channel(store, "demo").read() is None

    def test_files_beside_the_bundle_in_the_store_are_a_fault(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        store.put_new(f"bundles/sha256/{verify(folder).digest}/extra.md", b"x")
        with pytest.raises(StorageError, match="is not the one that was uploaded"):
            promote(store, "demo", folder)
        assert Channel(store, "demo").read() is None

    def test_an_upload_that_was_cut_off_is_gone_on_with(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        digest = verify(folder).digest
        for name in ("README.md", "model.onnx"):
            store.put_file_new(f"bundles/sha256/{digest}/{name}", folder / name)
        assert promote(store, "demo", folder).changed

    @pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a b", "a\n"])
    def test_a_channel_has_a_plain_name(self, make: Maker, store: Store, name: str) -> None:
        with pytest.raises(BadInput, match="channel name"):
            promote(store, name, next_bundle(make, store))
        assert store.list() == []


class TestRollback:
    def promoted(self, make: Maker, store: Store, count: int) -> list[str]:
        return [promote(store, "demo", next_bundle(make, store)).digest for _ in range(count)]

    def test_rollbacks_walk_back_and_the_sequence_goes_on(self, make: Maker, store: Store) -> None:
        first, second, third = self.promoted(make, store, 3)
        back = rollback(store, "demo")
        assert (back.digest, back.sequence, back.changed) == (second, 4, True)
        assert Bundle.load(store.uri_of("channels/demo.json")).digest == second
        assert rollback(store, "demo").digest == first
        with pytest.raises(BadInput, match="no bundle before"):
            rollback(store, "demo")
        entries = [(e.digest, e.sequence, e.action) for e in Channel(store, "demo").history()]
        assert entries[3:] == [(second, 4, "rollback"), (first, 5, "rollback")]
        assert entries[2] == (third, 3, "promote")

    def test_what_was_rolled_back_is_not_gone_back_to(self, make: Maker, store: Store) -> None:
        _, second, _ = self.promoted(make, store, 3)
        rollback(store, "demo")
        promote(store, "demo", next_bundle(make, store))
        assert rollback(store, "demo").digest == second

    def test_to_a_digest(self, make: Maker, store: Store) -> None:
        first, _, third = self.promoted(make, store, 3)
        assert rollback(store, "demo", first).digest == first
        assert rollback(store, "demo", third).digest == third, "forward again"
        again = rollback(store, "demo", third)
        assert (again.changed, again.sequence) == (False, 5)
        assert len(Channel(store, "demo").history()) == 5

    def test_where_the_channel_never_was(self, make: Maker, store: Store) -> None:
        with pytest.raises(BadInput, match="nothing has been promoted"):
            rollback(store, "demo")
        self.promoted(make, store, 1)
        with pytest.raises(BadInput, match="never pointed at"):
            rollback(store, "demo", OTHER)

    def test_a_damaged_bundle_is_not_gone_back_to(self, make: Maker, store: Store) -> None:
        first, second = self.promoted(make, store, 2)
        (Path(store.uri_of(f"bundles/sha256/{first}")) / "README.md").write_text("changed")
        with pytest.raises(BundleRejected, match=r"README\.md"):
            rollback(store, "demo")
        pointer = Channel(store, "demo").read()
        assert pointer is not None
        assert pointer.digest == second

    def test_an_old_bundle_is_not_promoted_again(self, make: Maker, store: Store) -> None:
        folder = next_bundle(make, store)
        promote(store, "demo", folder)
        promote(store, "demo", next_bundle(make, store))
        with pytest.raises(Conflict):
            promote(store, "demo", folder)

    def test_what_was_exported_before_a_rollback_is_a_conflict_after_it(self, make: Maker, store: Store) -> None:
        self.promoted(make, store, 2)
        waiting = next_bundle(make, store)
        rollback(store, "demo")
        with pytest.raises(Conflict):
            promote(store, "demo", waiting)


class TestPointer:
    @pytest.mark.parametrize(
        "change",
        [
            lambda d: d.update(digest=OTHER),
            lambda d: d.update(sequence=7),
            lambda d: d.update(channel="other"),
            lambda d: d.update(history=[]),
            lambda d: d.update(extra=1),
            lambda d: d.update(schema="stage1/pointer/v2"),
            lambda d: d["history"][0].update(action="steal"),
            lambda d: d["history"].insert(0, d["history"][0]),
            lambda d: d["history"].insert(0, {**d["history"][0], "sequence": 9}),
        ],
    )
    def test_a_pointer_that_contradicts_itself_is_rejected(
        self, make: Maker, store: Store, change: Callable[[dict[str, Any]], object]
    ) -> None:
        promote(store, "demo", next_bundle(make, store))
        stored = store.get("channels/demo.json")
        document = json.loads(stored.data)
        change(document)
        store.swap("channels/demo.json", json.dumps(document).encode(), stored.version)
        with pytest.raises(StorageError, match=r"channels/demo\.json"):
            Channel(store, "demo").read()
        with pytest.raises(BundleRejected, match=r"channels/demo\.json"):
            Bundle.load(store.uri_of("channels/demo.json"))

    def test_bytes_that_are_no_pointer_are_rejected(self, store: Store) -> None:
        store.put_new("channels/demo.json", b"{")
        with pytest.raises(BundleRejected, match="not strict JSON"):
            Bundle.load(store.uri_of("channels/demo.json"))

    def test_an_empty_channel_has_nothing(self, store: Store) -> None:
        channel = Channel(store, "demo")
        assert channel.read() is None
        assert channel.history() == ()
        assert channel.next_sequence() == 1
        with pytest.raises(BundleRejected, match="nothing has been promoted"):
            Bundle.load(store.uri_of("channels/demo.json"))

    def test_the_history_is_cut_at_its_old_end(
        self, make: Maker, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stage1.bundle.channel._MOST_ENTRIES", 2)
        for _ in range(3):
            promote(store, "demo", next_bundle(make, store))
        assert [entry.sequence for entry in Channel(store, "demo").history()] == [2, 3]


@dataclasses.dataclass
class Faulty:
    """A real store whose n-th request fails: before it is done (`lost` False), or after it, its answer lost."""

    inner: LocalStore
    fail_at: int
    lost: bool
    requests: int = 0

    def _do(self, action: Callable[[], Any]) -> Any:
        self.requests += 1
        failing = self.requests == self.fail_at
        if failing and not self.lost:
            raise StorageError("connection reset before the request")
        if not failing:
            return action()
        with suppress(StorageError):
            action()
        raise StorageError("connection reset after the request")

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        return self._do(lambda: self.inner.get(key, max_bytes=max_bytes))  # type: ignore[no-any-return]

    def put_new(self, key: str, data: bytes) -> str:
        return self._do(lambda: self.inner.put_new(key, data))  # type: ignore[no-any-return]

    def put_file_new(self, key: str, path: Path) -> str:
        return self._do(lambda: self.inner.put_file_new(key, path))  # type: ignore[no-any-return]

    def swap(self, key: str, data: bytes, expected_version: str | None) -> str:
        return self._do(lambda: self.inner.swap(key, data, expected_version))  # type: ignore[no-any-return]

    def list(self, prefix: str = "") -> list[str]:
        return self._do(lambda: self.inner.list(prefix))  # type: ignore[no-any-return]

    def uri_of(self, key: str) -> str:
        return self.inner.uri_of(key)


@pytest.mark.parametrize("lost", [False, True])
def test_a_fault_at_any_request_gives_one_promotion_or_none_and_again_gives_one(
    make: Maker, tmp_path: Path, lost: bool
) -> None:
    folder = make.path()
    digest = verify(folder).digest
    fail_at, failed, succeeded = 0, 0, 0
    while True:
        fail_at += 1
        inner = LocalStore(tmp_path / f"store{fail_at}")
        store = Faulty(inner, fail_at, lost)
        try:
            promote(store, "demo", folder)
            succeeded += 1
            assert len(Channel(inner, "demo").history()) == 1
        except StorageError:
            failed += 1
            assert Channel(inner, "demo").history() == ()
        again = promote(inner, "demo", folder)
        assert again.digest == digest
        assert len(Channel(inner, "demo").history()) == 1
        if store.requests < fail_at:
            break
    # read, a put and a get a file, look for a signature, list, swap; then the read-back, which only a fault of the
    # swap makes
    num_files = len(verify(folder).manifest.files) + 1
    assert failed + succeeded == fail_at == 2 * num_files + 5
    assert succeeded == (2 if lost else 1), "the swap whose answer was lost is found done; the last run had no fault"


PROMOTER = """
import sys
from pathlib import Path
from stage1.bundle import promote
from stage1.errors import Conflict
from stage1.storage import open_store
print("ready", flush=True)
sys.stdin.readline()
try:
    print(promote(open_store(sys.argv[1]), "demo", Path(sys.argv[2])).digest)
except Conflict:
    print("conflict")
"""


def start(folder: Path, store: Store) -> subprocess.Popen[str]:
    root = store.uri_of("x").removesuffix("/x")
    return subprocess.Popen(
        [sys.executable, "-c", PROMOTER, root, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_16_promoters_one_wins_and_readers_see_whole_bundles_only(make: Maker, either: Store) -> None:
    folders = [next_bundle(make, either, version=f"v{n}") for n in range(16)]
    digests = {verify(folder).digest for folder in folders}
    assert len(digests) == 16
    processes = [start(folder, either) for folder in folders]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    seen = set()
    while any(process.poll() is None for process in processes):
        if Channel(either, "demo").read() is not None:
            seen.add(verify(either.uri_of("channels/demo.json")).digest)
    outputs = [process.communicate() for process in processes]
    assert [error for _, error in outputs if error] == []
    winners = [output.strip() for output, _ in outputs if output != "conflict\n"]
    assert len(winners) == 1
    assert [entry.digest for entry in Channel(either, "demo").history()] == winners
    assert seen <= set(winners)


@pytest.mark.parametrize("delay_ms", [0, 15, 30, 60])
def test_a_killed_promoter_leaves_nothing_half_and_running_again_ends_it(
    make: Maker, either: Store, delay_ms: int
) -> None:
    folder = next_bundle(make, either)
    process = start(folder, either)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    time.sleep(delay_ms / 1000)
    process.kill()
    process.communicate()
    digest = verify(folder).digest
    if Channel(either, "demo").read() is not None:
        assert Bundle.load(either.uri_of("channels/demo.json")).digest == digest
    assert promote(either, "demo", folder).digest == digest
    assert len(Channel(either, "demo").history()) == 1


def test_a_bundle_moves_with_its_store(make: Maker, store: Store, tmp_path: Path) -> None:
    digest = promote(store, "demo", next_bundle(make, store)).digest
    shutil.move(Path(store.uri_of("x")).parent, tmp_path / "moved")
    assert Bundle.load(tmp_path / "moved" / "channels" / "demo.json").digest == digest


class TestLooks:
    def test_candidates_are_counted_once_and_in_order(self, store: Store) -> None:
        candidates = [str(n) * 64 for n in range(3)]
        assert [record_look(store, "demo", TEST, c) for c in candidates] == [1, 2, 3]
        assert [record_look(store, "demo", TEST, c) for c in candidates] == [1, 2, 3]

    def test_each_test_set_and_channel_has_its_own_count(self, store: Store) -> None:
        assert record_look(store, "demo", TEST, OTHER) == 1
        assert record_look(store, "demo", TEST, CHAMPION) == 2
        assert record_look(store, "demo", OTHER, CHAMPION) == 1
        assert record_look(store, "more", TEST, CHAMPION) == 1
        assert store.list() == [f"looks/demo/{TEST}.json", f"looks/demo/{OTHER}.json", f"looks/more/{TEST}.json"]

    @pytest.mark.parametrize(
        ("test", "candidate"), [("x", OTHER), (TEST, ""), (TEST, OTHER + "\n"), ("../" * 21 + "a", TEST)]
    )
    def test_what_is_no_digest_is_bad_input(self, store: Store, test: str, candidate: str) -> None:
        with pytest.raises(BadInput, match="64 hex digits"):
            record_look(store, "demo", test, candidate)
        assert store.list() == []

    @pytest.mark.parametrize("data", [b"", b"{}", b'{"schema": "stage1/looks/v1", "candidates": []}'])
    def test_a_count_that_cannot_be_read_is_not_begun_again(self, store: Store, data: bytes) -> None:
        store.put_new(f"looks/demo/{TEST}.json", data)
        with pytest.raises(StorageError, match="must not be forgotten"):
            record_look(store, "demo", TEST, OTHER)
        assert store.get(f"looks/demo/{TEST}.json").data == data

    def test_two_at_once_are_both_counted(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody counts another candidate between our reading and our writing."""
        real = store.swap
        candidates = iter([CHAMPION])

        def swap(key: str, data: bytes, expected_version: str | None) -> str:
            for other in candidates:
                record_look(store, "demo", TEST, other)
            return real(key, data, expected_version)

        monkeypatch.setattr(store, "swap", swap)
        assert record_look(store, "demo", TEST, OTHER) == 2
        assert record_look(store, "demo", TEST, CHAMPION) == 1
