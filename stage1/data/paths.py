"""Paths from a sheet, which somebody else wrote: none may lead out of the root."""

import os
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path

from stage1.errors import BadData


def uris_within(root: Path, paths: Sequence[str], column: str, where: Callable[[int], str]) -> list[str]:
    """Return each path as a POSIX path relative to the root, without `.`, `..` and double slashes.

    Args:
        root: Absolute, resolved folder.
        paths: As written in the sheet; an absolute path is accepted where it lies under the root.
        column: Name of the column, for messages.
        where: Says where a row stands, for messages.

    Raises:
        BadData: A path leads out of the root, by `..`, by being absolute, or by a symbolic link.
    """
    base = str(root)
    places: dict[str, str | None] = {}
    uris = []
    for row, path in enumerate(paths):
        if "\0" in path:
            raise BadData(f"{where(row)}, column {column!r}: a path cannot hold a zero byte, got {path!r}.")
        folder, name = posixpath.split(posixpath.normpath(posixpath.join(base, path)))
        if folder not in places:
            places[folder] = _below(base, os.path.realpath(folder))
        place = places[folder]
        full = posixpath.join(folder, name)
        if place is None or (os.path.islink(full) and _below(base, os.path.realpath(full)) is None):  # noqa: PTH114
            raise BadData(
                f"{where(row)}, column {column!r}: {path!r} leads out of the data root {base}. "
                "Put the file under the root, or set image_root to a folder that holds all images."
            )
        uris.append(place + name)
    return uris


def _below(base: str, folder: str) -> str | None:
    """Return the resolved folder relative to the base, as a prefix for names in it, or None if it is elsewhere."""
    if folder == base:
        return ""
    start = base.rstrip("/") + "/"
    return folder[len(start) :] + "/" if folder.startswith(start) else None
