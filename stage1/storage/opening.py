"""From a URI to a store."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stage1.errors import BadInput
from stage1.storage.local import LocalStore
from stage1.storage.protocol import Store

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SUPPORTED = "a folder (runs/store), or file:///absolute/folder"


def open_store(uri: str) -> Store:
    """Return the store at `uri`; nothing is created before the first write.

    Args:
        uri: A folder's path, or file:///absolute/folder (percent-encoded).

    Raises:
        BadInput: The scheme is not supported, or the address is no folder.
    """
    return LocalStore(local_path(uri))


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
