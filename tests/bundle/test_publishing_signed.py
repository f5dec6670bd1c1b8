"""Channels that take signed bundles only, in a folder and on a real MinIO server."""

from pathlib import Path

import pytest

from stage1.bundle import Bundle, BundleRejected, Channel, promote, read_signing_key, rollback, sign
from stage1.bundle.address import bundle_prefix
from stage1.bundle.channel import Pointer
from stage1.errors import PromotionRefused, StorageError
from stage1.storage import Store
from tests.bundle.making import KeyPair, Maker
from tests.bundle.test_publishing import next_bundle, state


def signed(make: Maker, store: Store, keys: KeyPair) -> Path:
    folder = next_bundle(make, store)
    sign(folder, read_signing_key(keys.private))
    return folder


def pointer(store: Store) -> Pointer:
    found = Channel(store, "demo").read()
    assert found is not None
    return found


def test_a_signed_bundle_takes_its_signature_along(make: Maker, either: Store, keys: KeyPair) -> None:
    folder = signed(make, either, keys)
    promoted = promote(either, "demo", folder, public_key=keys.public, signature="required")
    assert pointer(either).signature == "required"
    key = f"{bundle_prefix(promoted.digest)}/bundle.sig"
    assert either.get(key).data == (folder / "bundle.sig").read_bytes()
    assert Bundle.load(either.uri_of("channels/demo.json"), keys.public).signature == "verified"


def test_an_unsigned_bundle_is_refused_and_nothing_is_written(make: Maker, either: Store, keys: KeyPair) -> None:
    with pytest.raises(PromotionRefused, match=r"this one is not signed\. Sign it: stage1 bundle sign"):
        promote(either, "demo", next_bundle(make, either), public_key=keys.public, signature="required")
    assert either.list() == []


def test_without_a_key_nothing_is_promoted(make: Maker, either: Store, keys: KeyPair) -> None:
    with pytest.raises(PromotionRefused, match=r"give the public key .* \$STAGE1_PUBLIC_KEY"):
        promote(either, "demo", signed(make, either, keys), signature="required")
    assert either.list() == []


@pytest.mark.parametrize("rule", ["required", "unsigned-allowed"])
def test_the_wrong_key_is_refused_whatever_the_rule(
    make: Maker, store: Store, keys: KeyPair, other_keys: KeyPair, rule: str
) -> None:
    with pytest.raises(BundleRejected, match="not with a given one"):
        promote(store, "demo", signed(make, store, keys), public_key=other_keys.public, signature=rule)  # type: ignore[arg-type]
    assert store.list() == []


def test_a_channel_that_required_signatures_does_so_for_good(make: Maker, either: Store, keys: KeyPair) -> None:
    promote(either, "demo", signed(make, either, keys), public_key=keys.public, signature="required")
    before = state(either)
    with pytest.raises(PromotionRefused, match="give the public key"):
        promote(either, "demo", signed(make, either, keys))
    with pytest.raises(PromotionRefused, match="not signed"):
        promote(either, "demo", next_bundle(make, either), public_key=keys.public)
    assert state(either) == before
    promote(either, "demo", signed(make, either, keys), public_key=keys.public)
    assert pointer(either).signature == "required"


def test_a_channel_that_took_anything_can_begin_to_require(make: Maker, store: Store, keys: KeyPair) -> None:
    promote(store, "demo", next_bundle(make, store))
    assert pointer(store).signature == "unsigned-allowed"
    promote(store, "demo", signed(make, store, keys), public_key=keys.public, signature="required")
    assert pointer(store).signature == "required"


def test_there_is_no_way_back_to_an_unsigned_bundle(make: Maker, either: Store, keys: KeyPair) -> None:
    promote(either, "demo", next_bundle(make, either))
    current = promote(either, "demo", signed(make, either, keys), public_key=keys.public, signature="required")
    before = state(either)
    with pytest.raises(PromotionRefused, match="give the public key"):
        rollback(either, "demo")
    with pytest.raises(PromotionRefused, match="not signed"):
        rollback(either, "demo", public_key=keys.public)
    assert state(either) == before
    assert pointer(either).digest == current.digest


def test_the_way_back_to_a_signed_bundle_keeps_the_rule(
    make: Maker, either: Store, keys: KeyPair, other_keys: KeyPair
) -> None:
    first = promote(either, "demo", signed(make, either, keys), public_key=keys.public, signature="required")
    promote(either, "demo", signed(make, either, keys), public_key=keys.public)
    with pytest.raises(BundleRejected, match="not with a given one"):
        rollback(either, "demo", public_key=other_keys.public)
    assert rollback(either, "demo", public_key=keys.public).digest == first.digest
    assert pointer(either).signature == "required"


def test_a_bundle_signed_again_is_the_same_bundle(make: Maker, either: Store, keys: KeyPair) -> None:
    """ECDSA gives other bytes each time; what is in the store is kept, if it is good."""
    folder = signed(make, either, keys)
    key = f"{bundle_prefix(promote(either, 'demo', folder, public_key=keys.public).digest)}/bundle.sig"
    first = (folder / "bundle.sig").read_bytes()
    (folder / "bundle.sig").unlink()
    sign(folder, read_signing_key(keys.private))
    assert (folder / "bundle.sig").read_bytes() != first
    promote(either, "other", folder, public_key=keys.public, signature="required")
    assert either.get(key).data == first


def test_a_bad_signature_that_lies_in_the_store_is_a_fault(
    make: Maker, store: Store, keys: KeyPair, other_keys: KeyPair
) -> None:
    folder = signed(make, store, keys)
    digest = Bundle.load(folder).digest
    good = (folder / "bundle.sig").read_bytes()
    (folder / "bundle.sig").unlink()
    sign(folder, read_signing_key(other_keys.private))
    store.put_file_new(f"{bundle_prefix(digest)}/bundle.sig", folder / "bundle.sig")
    (folder / "bundle.sig").write_bytes(good)
    with pytest.raises(StorageError, match="is no signature of this bundle"):
        promote(store, "demo", folder, public_key=keys.public, signature="required")
    assert Channel(store, "demo").read() is None
