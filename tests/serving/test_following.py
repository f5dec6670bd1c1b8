"""The server follows its channel, and nothing that goes wrong there stops it. Real stores, real bundles."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage1.bundle import Bundle, Channel, promote, read_signing_key, rollback, sign
from stage1.serving.following import Follower
from stage1.serving.metrics import Metrics
from stage1.storage import Store
from tests.bundle.making import RED, KeyPair, Maker, picture
from tests.bundle.test_publishing import next_bundle
from tests.serving.process import MODEL, asked, outputs, png, serving

LABELS: dict[str, str] = {}


class Watched:
    """A follower that is polled by hand, and its numbers."""

    def __init__(self, store: Store, poll_s: float = 0.0) -> None:
        self.metrics = Metrics()
        self.loads = 0
        self._uri = store.uri_of("channels/demo.json")
        self.follower = Follower(Channel(store, "demo"), self._load, self.metrics, poll_s=poll_s, window=100)

    def _load(self) -> Bundle:
        self.loads += 1
        return Bundle.load(self._uri)

    def poll(self) -> str:
        """Poll once; the version that is served then, or ""."""
        self.follower.poll()
        served = self.follower.served
        return served.bundle.manifest.version if served else ""

    def number(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, LABELS)


@pytest.fixture
def watched(store: Store) -> Watched:
    return Watched(store)


class TestPromotions:
    def test_nothing_is_served_before_the_first(self, store: Store, make: Maker, watched: Watched) -> None:
        assert watched.poll() == ""
        assert watched.number("stage1_ready") == 0
        promote(store, "demo", next_bundle(make, store))
        assert watched.poll() == "1"
        assert [watched.number(name) for name in ("stage1_ready", "stage1_swaps_total")] == [1, 0]

    def test_each_is_loaded_once_and_takes_the_place_of_the_one_before(
        self, store: Store, make: Maker, watched: Watched
    ) -> None:
        for version in ("1", "2", "3"):
            promote(store, "demo", next_bundle(make, store))
            assert [watched.poll(), watched.poll()] == [version, version]
        assert watched.loads == 3
        names = ("swaps_total", "bundle_sequence", "channel_sequence")
        assert [watched.number(f"stage1_{name}") for name in names] == [2, 3, 3]

    def test_a_rollback_is_followed_too(self, store: Store, make: Maker, watched: Watched) -> None:
        for _ in range(2):
            promote(store, "demo", next_bundle(make, store))
            watched.poll()
        rollback(store, "demo")
        assert watched.poll() == "1"
        assert watched.number("stage1_bundle_sequence") == 3

    def test_who_holds_the_old_one_keeps_it(self, store: Store, make: Maker, watched: Watched) -> None:
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        held = watched.follower.served
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        assert held is not None
        assert held.bundle.manifest.version == "1"
        assert held.decide([picture(RED, 16)])[1] == ["exit_positive"]


class TestFaults:
    def damaged(self, store: Store, make: Maker) -> Path:
        """Promote a bundle, then change a byte of its model in the store; the model's file."""
        digest = promote(store, "demo", next_bundle(make, store)).digest
        model = Path(store.uri_of(f"bundles/sha256/{digest}/model.onnx"))
        model.chmod(0o644)
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
        return model

    def test_a_bundle_that_is_rejected_is_not_served(self, store: Store, make: Maker, watched: Watched) -> None:
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        self.damaged(store, make)
        assert watched.poll() == "1"
        assert [watched.number(f"stage1_{name}") for name in ("rejections_total", "swaps_total")] == [1, 0]
        assert [watched.number(f"stage1_{name}_sequence") for name in ("bundle", "channel")] == [1, 2]
        lag = watched.number("stage1_channel_lag_seconds")
        time.sleep(0.01)
        assert 0 <= (lag or 0) < (watched.number("stage1_channel_lag_seconds") or 0)

    def test_a_bundle_that_was_mended_is_served(self, store: Store, make: Maker, watched: Watched) -> None:
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        model = self.damaged(store, make)
        watched.poll()
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
        assert watched.poll() == "2"
        assert watched.number("stage1_channel_lag_seconds") == 0

    def test_a_rejected_bundle_is_tried_ever_more_rarely(self, store: Store, make: Maker) -> None:
        watched = Watched(store, poll_s=0.05)
        self.damaged(store, make)
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            watched.poll()
        assert watched.loads == 4, "at 0, 0.1, 0.3 and 0.7 s; then at 1.5 s"

    def test_a_new_promotion_is_not_made_to_wait_for_that(self, store: Store, make: Maker) -> None:
        watched = Watched(store, poll_s=100)
        self.damaged(store, make)
        assert watched.poll() == ""
        promote(store, "demo", next_bundle(make, store))
        assert watched.poll() == "2"

    @pytest.mark.parametrize("how", ["gone", "a folder", "unreadable"])
    def test_a_pointer_that_cannot_be_had_stops_nothing(
        self, store: Store, make: Maker, watched: Watched, how: str
    ) -> None:
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        pointer = Path(store.uri_of("channels/demo.json"))
        pointer.rename(pointer.with_name("elsewhere"))
        if how == "a folder":
            pointer.mkdir()
        if how == "unreadable":
            pointer.symlink_to(pointer)
        age = watched.follower.age_s()
        assert watched.poll() == "1"
        assert watched.number("stage1_channel_errors_total") == 1
        assert (watched.number("stage1_channel_age_seconds") or 0) > age
        {"gone": lambda: None, "a folder": pointer.rmdir, "unreadable": pointer.unlink}[how]()
        pointer.with_name("elsewhere").rename(pointer)
        promote(store, "demo", next_bundle(make, store))
        assert watched.poll() == "2"

    def test_a_pointer_that_is_damaged_stops_nothing(self, store: Store, make: Maker, watched: Watched) -> None:
        promote(store, "demo", next_bundle(make, store))
        watched.poll()
        pointer = Path(store.uri_of("channels/demo.json"))
        pointer.chmod(0o644)
        pointer.write_text("{")
        assert watched.poll() == "1"
        assert watched.number("stage1_channel_errors_total") == 1

    def test_a_channel_that_goes_back_in_time_is_not_followed(
        self, store: Store, make: Maker, watched: Watched, tmp_path: Path
    ) -> None:
        pointer = Path(store.uri_of("channels/demo.json"))
        promote(store, "demo", next_bundle(make, store))
        shutil.copy(pointer, tmp_path / "old")
        promote(store, "demo", next_bundle(make, store))
        assert watched.poll() == "2"
        pointer.chmod(0o644)
        shutil.copy(tmp_path / "old", pointer)
        assert watched.poll() == "2"
        assert watched.number("stage1_rejections_total") == 1


class TestProcess:
    def test_a_channel_without_a_bundle_is_not_ready_until_there_is_one(
        self, store: Store, make: Maker, tmp_path: Path
    ) -> None:
        uri = store.uri_of("channels/demo.json")
        with serving(uri, tmp_path / "log", ready=False) as process, process.client() as client:
            assert client.get("/v2/health/live").status_code == 200
            assert client.get("/v2/health/ready").status_code == 503
            for response in (client.get(MODEL), client.post(f"{MODEL}/infer", json=asked(png(picture(RED))))):
                assert (response.status_code, list(response.json())) == (503, ["error"])
                assert int(response.headers["retry-after"]) >= 1
            promote(store, "demo", next_bundle(make, store))
            process.until("/v2/health/ready")
            assert outputs(client.post(f"{MODEL}/infer", json=asked(png(picture(RED)))))["label"] == ["roadwork"]

    def test_with_a_public_key_signed_bundles_are_served_and_others_are_not(
        self, store: Store, make: Maker, tmp_path: Path
    ) -> None:
        """First an unsigned one: not ready. Then a signed one: served. Then another key's: the one before goes on."""
        keys, others = KeyPair.make(tmp_path / "keys"), KeyPair.make(tmp_path / "others")
        uri = store.uri_of("channels/demo.json")
        promote(store, "demo", next_bundle(make, store))
        options = ("--public-key", str(keys.public))
        with serving(uri, tmp_path / "log", *options, ready=False) as process, process.client() as client:
            process.until_metric("stage1_rejections_total", 1)
            assert client.get("/v2/health/ready").status_code == 503
            assert "is not signed" in process.log.read_text()
            for pair, version in ((keys, "2"), (others, "3")):
                folder = next_bundle(make, store)
                sign(folder, read_signing_key(pair.private))
                promote(store, "demo", folder, public_key=pair.public)
                if pair is keys:
                    process.until(f"{MODEL}/versions/{version}/ready")
                    before = process.metrics()["stage1_rejections_total"]
            process.until_metric("stage1_rejections_total", before + 1)
            assert client.get(MODEL).json()["versions"] == ["2"]
            assert outputs(client.post(f"{MODEL}/infer", json=asked(png(picture(RED)))))["label"] == ["roadwork"]

    def test_twenty_promotions_under_load_fail_no_request(
        self, channel: str, store: Store, make: Maker, tmp_path: Path
    ) -> None:
        """Four callers ask without a pause; every answer is whole and of a bundle that was promoted by then."""
        versions: set[str] = set()
        statuses: list[int] = []
        stop = threading.Event()
        folders = iter_versions(make, store)
        request = asked(png(picture(RED)))
        with serving(channel, tmp_path / "log") as process:

            def ask() -> None:
                with process.client() as client:
                    while not stop.is_set():
                        response = client.post(f"{MODEL}/infer", json=request)
                        statuses.append(response.status_code)
                        versions.add(response.json().get("model_version"))
                        assert outputs(response)["label"] == ["roadwork"]

            callers = [threading.Thread(target=ask) for _ in range(4)]
            for caller in callers:
                caller.start()
            for version, folder in folders:
                promote(store, "demo", folder)
                process.until(f"{MODEL}/versions/{version}/ready")
            stop.set()
            for caller in callers:
                caller.join()
            found = process.metrics()
        assert set(statuses) == {200}
        assert len(statuses) > 100
        assert versions <= {str(sequence) for sequence in range(1, 22)}
        assert {"1", "21"} & versions
        assert (found["stage1_swaps_total"], found["stage1_rejections_total"]) == (20, 0)
        assert found['stage1_requests_total{status="200"}'] == len(statuses)
        assert found['stage1_images_total{outcome="exit_positive"}'] == len(statuses)


def iter_versions(make: Maker, store: Store) -> Iterator[tuple[str, Path]]:
    for version in range(2, 22):
        yield str(version), next_bundle(make, store)
