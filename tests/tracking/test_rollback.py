"""`stage1 channel rollback` and MLflow's alias: they move together, or it is said how to make up for it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stage1.bundle import Bundle, Channel, promote, read_signing_key, sign, verify
from stage1.steps.registering import record_of
from stage1.storage import Store, open_store
from stage1.tracking import TrackingConfig, send
from tests.bundle.making import KeyPair, Maker
from tests.bundle.test_publishing import next_bundle
from tests.tracking.conftest import Done

MODEL = "rolled"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def promoted(make: Maker, store: Store, config: TrackingConfig | None = None) -> tuple[str, str]:
    """Promote the next bundle, with the alias if MLflow is to hear of it; its digest and its version there."""
    done = promote(store, "demo", next_bundle(make, store))
    if config is None:
        return done.digest, ""
    return done.digest, send(config.at(config.uri, MODEL), record_of(done, verify(done.uri).manifest))


def test_the_alias_goes_back_with_the_channel(
    tmp_path: Path, store: Store, config: TrackingConfig, client: Any, stage1: Callable[..., Done]
) -> None:
    make = Maker(tmp_path / "made")
    (first, old), (second, new) = promoted(make, store, config), promoted(make, store, config)
    assert str(client.get_model_version_by_alias(MODEL, "demo").version) == new != old
    where = ("--store", str(tmp_path / "store"), "--tracking-uri")

    down = stage1("channel", "rollback", "demo", *where, "http://127.0.0.1:9")
    assert down.status == 1
    assert Channel(store, "demo").history()[-1].digest == first
    assert str(client.get_model_version_by_alias(MODEL, "demo").version) == new
    again = re.search(r"with (--to [0-9a-f]{64})", down.err)
    assert again is not None, down.err
    said = stage1("channel", "rollback", "demo", *again[1].split(), *where, config.uri, "--model-name", MODEL)
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"demo points at {first}, sequence 3",
        f"MLflow's {MODEL}@demo is version {old}",
    ]
    assert str(client.get_model_version_by_alias(MODEL, "demo").version) == old
    assert second != first


def test_a_bundle_that_mlflow_never_heard_of_becomes_a_version(
    tmp_path: Path, store: Store, config: TrackingConfig, client: Any, stage1: Callable[..., Done]
) -> None:
    make = Maker(tmp_path / "made")
    (first, _), _ = promoted(make, store), promoted(make, store)
    options = ("--store", str(tmp_path / "store"), "--tracking-uri", config.uri, "--model-name", "unheard")
    assert stage1("channel", "rollback", "demo", *options).status == 0
    assert client.get_model_version_by_alias("unheard", "demo").tags["digest"] == first


def test_a_password_in_the_address_is_refused_before_anything_moves(
    tmp_path: Path, store: Store, stage1: Callable[..., Done]
) -> None:
    make = Maker(tmp_path / "made")
    _, (second, _) = promoted(make, store), promoted(make, store)
    uri = "https://me:secret-word@mlflow.example"
    done = stage1("channel", "rollback", "demo", "--store", str(tmp_path / "store"), "--tracking-uri", uri)
    assert done.status == 2
    assert "MLFLOW_TRACKING_PASSWORD" in done.err
    assert "secret-word" not in done.err
    assert Channel(store, "demo").history()[-1].digest == second


def test_a_channel_that_requires_signatures_is_rolled_back_with_its_key(
    tmp_path: Path, store: Store, stage1: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAGE1_PUBLIC_KEY", raising=False)
    make, keys = Maker(tmp_path / "made"), KeyPair.make(tmp_path / "keys")
    digests = []
    for _ in range(2):
        folder = next_bundle(make, store)
        sign(folder, read_signing_key(keys.private))
        digests.append(promote(store, "demo", folder, public_key=keys.public, signature="required").digest)
    options = ("demo", "--store", str(tmp_path / "store"))
    refused = stage1("channel", "rollback", *options)
    assert (refused.status, "$STAGE1_PUBLIC_KEY" in refused.err) == (3, True)
    assert stage1("channel", "rollback", *options, "--public-key", str(keys.public)).status == 0
    assert Bundle.load(store.uri_of("channels/demo.json")).digest == digests[0]
    good = stage1("channel", "verify", *options, "--public-key", str(keys.public))
    assert (good.status, good.out) == (0, f"good: {digests[0]}\n")
    others = KeyPair.make(tmp_path / "others")
    assert stage1("channel", "verify", *options, "--public-key", str(others.public)).status == 2
