"""What the promote step asks of a bundle's signature, and what it leaves behind. A real bundle, a real store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stage1.bundle import BundleRejected, Channel, read_signing_key, sign
from stage1.bundle.config import ExportConfig
from stage1.config import Config, PromoteConfig
from stage1.errors import BadConfig, BadInput, PromotionRefused
from stage1.steps.artifact import write_record
from stage1.steps.configure import configure
from stage1.steps.path import walk
from stage1.steps.promote import promote
from stage1.storage import Store, open_store
from tests.bundle.making import KeyPair, Maker
from tests.bundle.test_publishing import next_bundle


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGE1_PUBLIC_KEY", raising=False)


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return KeyPair.make(tmp_path / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def exported(folder: Path, make: Maker, store: Store, keys: KeyPair | None = None) -> Path:
    """A folder as the export step leaves it: the bundle, signed where there are keys, and the record of it."""
    made = next_bundle(make, store)
    folder.mkdir()
    made.rename(folder / "bundle")
    if keys is not None:
        sign(folder / "bundle", read_signing_key(keys.private))
    write_record(folder, {"step": "export", "data_digest": "d" * 64, "config": {}, "inputs": {}})
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "made")


def required(tmp_path: Path, **fields: str) -> PromoteConfig:
    return PromoteConfig.model_validate({"store": str(tmp_path / "store"), "signature": "required", **fields})


def test_a_signed_bundle_is_promoted_and_the_channel_requires_signatures_from_then_on(
    tmp_path: Path, make: Maker, store: Store, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = exported(tmp_path / "export", make, store, keys)
    done = promote(signed, tmp_path / "out", config=required(tmp_path, public_key=str(keys.public)))
    pointer = Channel(store, "demo").read()
    assert pointer is not None
    assert (pointer.digest, pointer.signature) == (done.digest, "required")
    assert json.loads((tmp_path / "out" / "promoted.json").read_text())["sequence"] == 1
    allowing = PromoteConfig(store=str(tmp_path / "store"))
    with pytest.raises(PromotionRefused, match="takes signed bundles only"):
        promote(exported(tmp_path / "next", make, store), tmp_path / "out2", config=allowing)
    monkeypatch.setenv("STAGE1_PUBLIC_KEY", keys.public.read_text())
    again = promote(exported(tmp_path / "third", make, store, keys), tmp_path / "out3", config=allowing)
    assert (again.sequence, Channel(store, "demo").history()[-1].digest) == (2, again.digest)


@pytest.mark.parametrize("where", ["config", "environment"])
def test_an_unsigned_bundle_is_rejected_where_a_key_is_given(
    tmp_path: Path, make: Maker, store: Store, keys: KeyPair, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned = exported(tmp_path / "export", make, store)
    config = required(tmp_path, public_key=str(keys.public) if where == "config" else "")
    if where == "environment":
        monkeypatch.setenv("STAGE1_PUBLIC_KEY", str(keys.public))
    with pytest.raises(BundleRejected, match="is not signed"):
        promote(unsigned, tmp_path / "out", config=config)
    assert store.list() == []


def test_a_channel_that_requires_signatures_refuses_where_no_key_is_given(
    tmp_path: Path, make: Maker, store: Store, keys: KeyPair
) -> None:
    """Signed or not: nobody can say by whom. The rule is the channel's, or asked for here."""
    folders = [exported(tmp_path / "one", make, store), exported(tmp_path / "two", make, store, keys)]
    for folder in folders:
        with pytest.raises(BadConfig, match=r"neither promote\.public_key nor \$STAGE1_PUBLIC_KEY is set"):
            promote(folder, tmp_path / "out", config=required(tmp_path))
    assert store.list() == []
    first = promote(folders[1], tmp_path / "first", config=required(tmp_path, public_key=str(keys.public)))
    for name in ("three", "four"):
        folder = exported(tmp_path / name, make, store, keys if name == "four" else None)
        with pytest.raises(PromotionRefused, match=r"promote\.public_key or \$STAGE1_PUBLIC_KEY"):
            promote(folder, tmp_path / "out", config=PromoteConfig(store=str(tmp_path / "store")))
    assert Channel(store, "demo").history()[-1].digest == first.digest


def test_a_bundle_that_somebody_else_signed_is_rejected(
    tmp_path: Path, make: Maker, store: Store, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the configuration counts, whatever the environment has."""
    others = KeyPair.make(tmp_path / "others")
    monkeypatch.setenv("STAGE1_PUBLIC_KEY", str(others.public))
    folder = exported(tmp_path / "export", make, store, others)
    with pytest.raises(BundleRejected, match="not with a given one"):
        promote(folder, tmp_path / "out", config=required(tmp_path, public_key=str(keys.public)))
    assert store.list() == []


def test_a_key_that_is_none_is_said(tmp_path: Path, make: Maker, store: Store) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.pem"):
        promote(
            exported(tmp_path / "export", make, store), tmp_path / "out",
            config=required(tmp_path, public_key="nowhere.pem"),
        )  # fmt: skip


def test_the_rule_is_said_once_and_holds_for_export_and_promote() -> None:
    config = Config.compose(overrides=["signature=required", "promote.public_key=keys/pub.pem"])
    assert (config.promote.signature, config.promote.public_key) == ("required", "keys/pub.pem")
    assert config.export.signature == "required"
    assert (PromoteConfig().signature, ExportConfig().signature) == ("unsigned-allowed", "unsigned-allowed")


def test_a_run_that_could_not_sign_or_verify_ends_before_it_begins(
    tmp_path: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the training; the preset for real data asks for signatures."""
    for name in ("STAGE1_SIGNING_KEY", "STAGE1_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadConfig, match=r"promote could not verify.*unsigned-allowed"):
        configure("full")
    assert configure("full", overrides="signature=unsigned-allowed")
    monkeypatch.setenv("STAGE1_PUBLIC_KEY", str(keys.public))
    assert configure("full")
    with pytest.raises(BadConfig, match=r"\$STAGE1_SIGNING_KEY is not set, so nothing can sign"):
        walk("nowhere", tmp_path / "out", preset="full")
    assert not (tmp_path / "out").exists()


def test_the_command_ends_with_3_where_the_channel_refuses(
    tmp_path: Path, make: Maker, store: Store, keys: KeyPair
) -> None:
    """As every refused promotion."""
    signed = exported(tmp_path / "signed", make, store, keys)
    promote(signed, tmp_path / "first", config=required(tmp_path, public_key=str(keys.public)))
    folder = exported(tmp_path / "export", make, store)
    options = ["--set", f"store={tmp_path / 'store'}"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from stage1.cli import main; main()", "promote"),
            *("--bundle", str(folder), "--out", str(tmp_path / "out"), *options),
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "PromotionRefused: channel demo takes signed bundles only" in done.stderr
