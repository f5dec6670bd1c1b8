"""Where a bundle is: from what a person types to the folder whose bytes are checked.

out/bundle, file:///srv/out/bundle                        a folder
/srv/models/bundles/sha256/<digest>                       a bundle in a store; its digest must be that
/srv/models/channels/demo.json                            the bundle that a channel points at
s3://bucket/prefix/channels/demo.json                     the same in S3, through a cache on this machine
"""

import re
from dataclasses import dataclass
from pathlib import Path

from stage1.bundle.channel import Channel, Entry
from stage1.errors import BundleRejected
from stage1.storage import Store
from stage1.storage.opening import is_s3, local_path, open_beside

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHANNEL = re.compile(r"(.*/)?channels/([^/]+)\.json")
_ADDRESSED = re.compile(r"(.*/)?bundles/sha256/([0-9a-f]{64})")


@dataclass(frozen=True)
class Address:
    """Where a bundle is.

    Attributes:
        uri: What was given.
        store: The store that holds it; None for a folder that is in no store.
        prefix: Of its keys in the store; "" for a channel that was not read yet and for a folder.
        channel: The channel's name; None where the address is that of a bundle.
        digest: What its digest must be; None where the address does not say.
        entry: What the channel said of it; None where it was not asked.
    """

    uri: str
    store: Store | None = None
    prefix: str = ""
    channel: str | None = None
    digest: str | None = None
    entry: Entry | None = None


def bundle_prefix(digest: str) -> str:
    """Return the prefix of a bundle's keys in a store."""
    return f"bundles/sha256/{digest}"


def locate(uri: str) -> Address:
    """Return what an address means; nothing is read.

    Raises:
        BadInput: It is of no known scheme, or no address.
    """
    plain = uri.rstrip("/")
    if match := _CHANNEL.fullmatch(plain):
        store, _ = open_beside(plain, names=2)
        return Address(uri, store, channel=match[2])
    if match := _ADDRESSED.fullmatch(plain):
        store, key = open_beside(plain, names=3)
        return Address(uri, store, prefix=key, digest=match[2])
    if is_s3(uri):
        store, key = open_beside(plain, names=1)
        return Address(uri, store, prefix=key)
    return Address(uri)


def resolve(address: Address) -> Address:
    """Return the address of the bundle that a channel points at now; other addresses as they are.

    Raises:
        BundleRejected: Nothing was promoted yet.
        StorageError: The store failed.
    """
    if address.channel is None or address.store is None:
        return address
    pointer = Channel(address.store, address.channel).read()
    if pointer is None:
        raise BundleRejected(f"Channel {address.uri} points at no bundle: nothing has been promoted to it yet.")
    return Address(
        uri=address.uri,
        store=address.store,
        prefix=bundle_prefix(pointer.digest),
        channel=address.channel,
        digest=pointer.digest,
        entry=pointer.current,
    )


def folder_of(address: Address) -> Path:
    """Return the folder of an address that is on this machine."""
    if address.store is None:
        return local_path(address.uri)
    return local_path(address.store.uri_of(address.prefix))
