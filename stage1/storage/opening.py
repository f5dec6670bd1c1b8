"""From a URI to a store."""

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from stage1.errors import BadInput
from stage1.storage.keys import check_key
from stage1.storage.local import LocalStore
from stage1.storage.protocol import Store

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SUPPORTED = "a folder (runs/store), file:///absolute/folder, or s3://bucket/prefix"


def open_store(uri: str) -> Store:
    """Return the store at `uri`; nothing is created before the first write.

    Args:
        uri: A folder's path, file:///absolute/folder (percent-encoded), or s3://bucket/prefix. Endpoint, region and
            credentials of s3:// come from the environment (docs/storage.md).

    Raises:
        BadInput: The scheme is not supported, or the address is no folder and no bucket.
        BadConfig: The environment describes no S3 service that can be used.
    """
    if not is_s3(uri):
        return LocalStore(local_path(uri))
    bucket, prefix = s3_parts(uri)
    from stage1.storage.s3 import S3Store  # a laptop without S3 does not pay for its client
    from stage1.storage.service import service_from

    return S3Store(service_from(os.environ), bucket, check_key(prefix) if prefix else "")


def open_beside(uri: str, names: int) -> tuple[Store, str]:
    """Return the store that an object or a prefix lies in, and its key there: the last `names` names of the address.

    >>> store, key = open_beside("/srv/models/channels/demo.json", names=2)
    >>> key, store.uri_of("looks")
    ('channels/demo.json', '/srv/models/looks')

    Raises:
        BadInput: As for open_store; or the address has fewer names, or they are no key.
    """
    if is_s3(uri):
        bucket, prefix = s3_parts(uri)
        parts = prefix.split("/") if prefix else []
        root = "/".join([f"s3://{bucket}", *parts[:-names]])
    else:
        path = local_path(uri)
        parts = [part for part in PurePosixPath(path).parts if part != "/"]
        root = str(path.parents[names - 1]) if len(parts) >= names else ""
    if len(parts) < names:
        raise BadInput(f"Need an address that ends in {names} names below a store, got {uri!r}.")
    return open_store(root), check_key("/".join(parts[-names:]))


def is_s3(uri: str) -> bool:
    """Whether the address begins with s3:// (or S3://)."""
    return uri[:5].lower() == "s3://"


def s3_parts(uri: str) -> tuple[str, str]:
    """Return the bucket and the prefix of an s3:// address, taken literally, without slashes at the prefix's ends.

    Raises:
        BadInput: There is no bucket name in it, or it has a zero byte.
    """
    bucket, _, prefix = uri[5:].partition("/")
    if not _BUCKET.fullmatch(bucket) or "\0" in uri:
        raise BadInput(f"Cannot open {uri!r}: need s3://bucket/prefix, with a bucket's name as S3 allows it.")
    return bucket, prefix.strip("/")


def local_path(uri: str) -> Path:
    """Return the path that a plain path or a file:// URI names.

    Raises:
        BadInput: It is another scheme, has another host, a query or a fragment, or is empty.
    """
    if "\0" in uri or not uri:
        raise BadInput(f"Need a storage address, got {uri!r}. Supported: {_SUPPORTED}.")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return Path(uri)
    if scheme[1].lower() != "file":
        raise BadInput(f"Cannot open {uri!r}: scheme {scheme[1]!r} is not supported. Supported: {_SUPPORTED}.")
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or not path.startswith("/"):
        raise BadInput(f"Cannot open {uri!r}: a file URI is file:///absolute/folder, without host, query or fragment.")
    if "\0" in path:
        raise BadInput(f"Cannot open {uri!r}: a path has no zero byte.")
    return Path(path)
