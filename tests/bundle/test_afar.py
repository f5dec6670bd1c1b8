"""Bundles in S3, through the cache; and channels that somebody sends back in time, there and in a folder."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stage1.bundle import Bundle, promote, read_signing_key, rollback, sign, verify
from stage1.bundle.cache import default_cache
from stage1.bundle.documents import canonical
from stage1.bundle.verification import bundle_prefix
from stage1.storage import Store, open_store
from tests.bundle.attacking import files_of, rejected
from tests.bundle.making import RED, KeyPair, Maker, picture
from tests.bundle.test_publishing import next_bundle
from tests.servers.minio import MinioServer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAGE1_BUNDLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def afar(minio: MinioServer, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Store:
    """A store in a real MinIO server."""
    minio.use(monkeypatch)
    return open_store(f"s3://{minio.new_bucket()}/models")


def signed(make: Maker, store: Store, keys: KeyPair, **changes: Any) -> Path:
    folder = next_bundle(make, store, **changes)
    sign(folder, read_signing_key(keys.private))
    return folder


class TestS3:
    def test_a_channel_a_digest_and_a_prefix_give_the_bundle(
        self, afar: Store, make: Maker, keys: KeyPair, cache: Path
    ) -> None:
        folder = signed(make, afar, keys)
        digest = promote(afar, "prod", folder).digest
        for key in ("channels/prod.json", bundle_prefix(digest)):
            bundle = Bundle.load(afar.uri_of(key), keys.public)
            assert (bundle.digest, bundle.signature) == (digest, "verified")
            assert bundle.decide([picture(RED)])[0].label == "roadwork"
        assert files_of(cache / "sha256" / digest) == files_of(folder)
        for name in files_of(folder):
            afar.put_new(f"elsewhere/{name}", (folder / name).read_bytes())
        assert Bundle.load(afar.uri_of("elsewhere"), keys.public).digest == digest

    def test_what_is_in_the_cache_is_not_fetched_again(
        self, afar: Store, make: Maker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from stage1.bundle import cache as room

        digest = promote(afar, "prod", next_bundle(make, afar)).digest
        uri = afar.uri_of("channels/prod.json")
        Bundle.load(uri)
        monkeypatch.setattr(room.Cache, "fetch", lambda *_: pytest.fail("it was fetched again"))
        assert Bundle.load(uri).digest == digest

    @pytest.mark.parametrize("damage", ["changed", "missing", "extra", "link"])
    def test_a_damaged_copy_is_fetched_anew(self, afar: Store, make: Maker, cache: Path, damage: str) -> None:
        digest = promote(afar, "prod", next_bundle(make, afar)).digest
        uri = afar.uri_of("channels/prod.json")
        Bundle.load(uri)
        model = cache / "sha256" / digest / "model.onnx"
        if damage == "changed":
            model.write_bytes(b"evil")
        elif damage == "extra":
            model.with_name("more.json").write_bytes(b"{}")
        else:
            model.unlink()
        if damage == "link":
            model.symlink_to("/etc/hostname")
        assert Bundle.load(uri).decide([picture(RED)])[0].label == "roadwork"
        verify(cache / "sha256" / digest)
        assert list((cache / "writing").iterdir()) == []

    def test_a_copy_in_the_cache_is_held_to_the_signature_too(
        self, afar: Store, make: Maker, keys: KeyPair, other_keys: KeyPair
    ) -> None:
        promote(afar, "prod", signed(make, afar, keys))
        uri = afar.uri_of("channels/prod.json")
        assert Bundle.load(uri).signature == "unchecked"
        assert Bundle.load(uri, keys.public).signature == "verified"
        rejected(uri, "is signed with the key", public_key=other_keys.public)

    def test_an_unsigned_bundle_is_rejected_where_a_key_is_given(self, afar: Store, make: Maker, keys: KeyPair) -> None:
        promote(afar, "prod", next_bundle(make, afar))
        rejected(afar.uri_of("channels/prod.json"), "is not signed", public_key=keys.public)

    @pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "thresholds.json", "canaries/1.png"])
    def test_a_changed_or_missing_object_is_rejected(self, afar: Store, make: Maker, tmp_path: Path, name: str) -> None:
        folder = make.path()
        good = {file: (folder / file).read_bytes() for file in files_of(folder)}
        edits = {
            "missing": None,
            "changed": good[name][:-2] + bytes([good[name][-2] ^ 1]) + good[name][-1:],
            "longer": good[name] + b" ",
            "shorter": good[name][:-1],
            "empty": b"",
        }
        for kind, data in edits.items():
            for file, content in good.items():
                if file != name or data is not None:
                    afar.put_new(f"{kind}/{file}", data if file == name and data is not None else content)
            rejected(afar.uri_of(kind), cache=tmp_path / kind)

    def test_many_threads_load_one_bundle_at_once(self, afar: Store, make: Maker) -> None:
        digest = promote(afar, "prod", next_bundle(make, afar)).digest
        uri = afar.uri_of("channels/prod.json")
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: Bundle.load(uri).digest, range(16))) == {digest}

    def test_a_copy_that_others_replace_all_the_time_is_loaded_all_the_same(
        self, afar: Store, make: Maker, cache: Path
    ) -> None:
        """Each damages the copy before it loads, so each fetches and puts its own in place of the others'."""
        digest = promote(afar, "prod", next_bundle(make, afar)).digest
        uri = afar.uri_of("channels/prod.json")

        def damage_and_load(_: int) -> str:
            with suppress(OSError):
                (cache / "sha256" / digest / "README.md").write_bytes(b"damaged")
            return Bundle.load(uri).digest

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(damage_and_load, range(40))) == {digest}
        assert list((cache / "writing").iterdir()) == []

    def test_it_is_offline_after_loading(
        self, afar: Store, make: Maker, monkeypatch: pytest.MonkeyPatch, cache: Path
    ) -> None:
        promote(afar, "prod", next_bundle(make, afar))
        bundle = Bundle.load(afar.uri_of("channels/prod.json"))
        shutil.rmtree(cache)
        monkeypatch.setattr("socket.socket", lambda *_: pytest.fail("the network was used"))
        assert bundle.decide([picture(RED)])[0].label == "roadwork"

    def test_an_empty_channel_and_an_empty_prefix_are_said(self, afar: Store) -> None:
        rejected(afar.uri_of("channels/prod.json"), "nothing has been promoted")
        rejected(afar.uri_of("nowhere"), "it has no bundle.json")
        rejected(afar.uri_of(bundle_prefix("a" * 64)), "it has no bundle.json")


def replay(store: Store, name: str, data: bytes) -> None:
    """Put back a pointer of an earlier date, as whoever can write to the store can."""
    present = store.get(f"channels/{name}.json")
    store.swap(f"channels/{name}.json", data, present.version)


class TestReplay:
    def test_an_older_bundle_in_the_place_of_a_newer_is_rejected(
        self, store: Store, make: Maker, keys: KeyPair
    ) -> None:
        """Both are validly signed; the pointer's entry is of the newer, its digest of the older."""
        old = promote(store, "demo", signed(make, store, keys))
        promote(store, "demo", signed(make, store, keys, version="2"))
        document = json.loads(store.get("channels/demo.json").data)
        document["digest"] = document["history"][-1]["digest"] = old.digest
        replay(store, "demo", canonical(document))
        rejected(store.uri_of("channels/demo.json"), "an earlier bundle was put in its place", public_key=keys.public)

    def test_a_pointer_of_an_earlier_date_is_rejected_by_whoever_saw_a_later(
        self, store: Store, make: Maker, keys: KeyPair, tmp_path: Path
    ) -> None:
        uri, cache = store.uri_of("channels/demo.json"), tmp_path / "cache"
        first = promote(store, "demo", signed(make, store, keys))
        early = store.get("channels/demo.json").data
        assert Bundle.load(uri, keys.public, cache=cache).digest == first.digest
        second = promote(store, "demo", signed(make, store, keys, version="2"))
        assert Bundle.load(uri, keys.public, cache=cache).digest == second.digest
        replay(store, "demo", early)
        reason = rejected(uri, "replays an earlier state", public_key=keys.public, cache=cache)
        assert "sequence 1" in reason
        assert "seen at 2" in reason

    def test_another_bundle_at_the_same_sequence_is_rejected(self, store: Store, make: Maker, tmp_path: Path) -> None:
        uri, cache = store.uri_of("channels/demo.json"), tmp_path / "cache"
        promote(store, "demo", make.path())
        verify(uri, cache=cache)
        other = open_store(str(tmp_path / "other"))
        moved = promote(other, "demo", make.path(version="2"))
        shutil.copytree(other.uri_of(bundle_prefix(moved.digest)), store.uri_of(bundle_prefix(moved.digest)))
        replay(store, "demo", other.get("channels/demo.json").data)
        rejected(uri, "replays an earlier state", cache=cache)
        verify(uri)

    def test_a_rollback_is_none(self, store: Store, make: Maker, tmp_path: Path) -> None:
        uri, cache = store.uri_of("channels/demo.json"), tmp_path / "cache"
        first = promote(store, "demo", next_bundle(make, store))
        promote(store, "demo", next_bundle(make, store, version="2"))
        verify(uri, cache=cache)
        rollback(store, "demo")
        assert verify(uri, cache=cache).digest == first.digest
        assert verify(uri, cache=cache).digest == first.digest
        promote(store, "demo", next_bundle(make, store, version="3"))
        assert verify(uri, cache=cache).manifest.sequence == 4

    def test_a_least_sequence_stops_even_a_rollback(self, store: Store, make: Maker) -> None:
        uri = store.uri_of("channels/demo.json")
        promote(store, "demo", next_bundle(make, store))
        promote(store, "demo", next_bundle(make, store, version="2"))
        assert verify(uri, min_sequence=2).manifest.sequence == 2
        rejected(uri, "Need a bundle of sequence 3 or later, this one has 2", min_sequence=3)
        rollback(store, "demo")
        rejected(uri, "Need a bundle of sequence 2 or later, this one has 1", min_sequence=2)
        assert verify(uri, min_sequence=1).manifest.sequence == 1

    def test_a_bundle_of_the_future_is_rejected(self, store: Store, make: Maker) -> None:
        """A rollback goes to what was promoted before, so its own sequence is lower."""
        uri = store.uri_of("channels/demo.json")
        promote(store, "demo", next_bundle(make, store))
        promote(store, "demo", next_bundle(make, store, version="2", sequence=7))
        document = json.loads(store.get("channels/demo.json").data)
        document["sequence"] = document["history"][-1]["sequence"] = 6
        document["history"][-1]["action"] = "rollback"
        replay(store, "demo", canonical(document))
        rejected(uri, "The channel is at sequence 6, the bundle at 7")

    def test_a_rejected_bundle_is_not_remembered(self, store: Store, make: Maker, tmp_path: Path) -> None:
        uri, cache = store.uri_of("channels/demo.json"), tmp_path / "cache"
        promote(store, "demo", next_bundle(make, store))
        good = store.get("channels/demo.json").data
        forged = json.loads(good)
        forged["sequence"] = forged["history"][-1]["sequence"] = 99
        replay(store, "demo", canonical(forged))
        rejected(uri, "put in its place", cache=cache)
        replay(store, "demo", good)
        verify(uri, cache=cache)

    @pytest.mark.parametrize("note", [b"", b"[]", b'{"sequence": "x", "digest": 1}', b"\xff"])
    def test_a_damaged_note_is_no_obstacle(self, store: Store, make: Maker, tmp_path: Path, note: bytes) -> None:
        uri, cache = store.uri_of("channels/demo.json"), tmp_path / "cache"
        promote(store, "demo", next_bundle(make, store))
        verify(uri, cache=cache)
        (path,) = (cache / "channels").iterdir()
        path.write_bytes(note)
        verify(uri, cache=cache)
        assert json.loads(path.read_bytes())["sequence"] == 1


def test_the_cache_is_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STAGE1_BUNDLE_CACHE", str(tmp_path / "a"))
    assert default_cache() == tmp_path / "a"
    monkeypatch.delenv("STAGE1_BUNDLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_cache() == tmp_path / "b" / "stage1" / "bundles"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert default_cache() == tmp_path / "c" / ".cache" / "stage1" / "bundles"
