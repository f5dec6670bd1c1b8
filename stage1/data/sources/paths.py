"""Paths from a sheet, which somebody else wrote: none may lead out of the root. Links are refused on reading."""

import posixpath
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stage1.errors import BadData

# An empty, "." or ".." name, an absolute path, or the address of another store.
_ODD = r"(^|/)\.{0,2}(/|$)|^[A-Za-z][A-Za-z0-9+.-]*://"


def uris_within(root: str, paths: pa.Array, column: str, where: Callable[[int], str]) -> pa.Array:
    """Return each path relative to the root, without `.`, `..` and double slashes.

    Args:
        root: Absolute folder or s3://bucket/prefix.
        paths: As written in the sheet; an absolute path is accepted where it lies under the root.
        column: Name of the column, for messages.
        where: Says where a row stands, for messages.

    Raises:
        BadData: A path leads out of the root, by `..` or by being absolute, or holds a zero byte.
    """
    zero = pc.match_substring(paths, "\0")
    if pc.any(zero).as_py():
        row = pc.index(zero, True).as_py()
        raise BadData(f"{where(row)}, column {column!r}: a path cannot hold a zero byte, got {paths[row].as_py()!r}.")
    base = root.rstrip("/") + "/"
    under = pc.starts_with(paths, base)
    if pc.any(under).as_py():
        paths = pc.if_else(under, pc.utf8_slice_codeunits(paths, len(base)), paths)
    odd = pc.match_substring_regex(paths, _ODD)
    if not pc.any(odd).as_py():
        return paths
    mended = []
    for row in np.flatnonzero(odd.to_numpy(zero_copy_only=False)).tolist():
        path = paths[row].as_py()
        clean = posixpath.normpath(path)
        if clean.startswith(("/", "../")) or clean in (".", "..") or "://" in path:
            raise BadData(
                f"{where(row)}, column {column!r}: {path!r} leads out of the data root {root}. "
                "Put the file under the root, or set image_root to a folder that holds all images."
            )
        mended.append(clean)
    return pc.replace_with_mask(paths, odd, pa.array(mended, pa.string()))
