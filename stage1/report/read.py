"""Reading the steps' JSON without trusting it: a missing, null or odd value is None, never an exception."""

import math
from collections.abc import Mapping, Sequence

Json = Mapping[str, object]


def at(node: object, *path: str) -> object:
    """Return what stands at a path of keys, or None."""
    for key in path:
        if not isinstance(node, Mapping):
            return None
        node = node.get(key)
    return node


def mapping(node: object, *path: str) -> Json:
    """Return the object at a path, empty when there is none."""
    found = at(node, *path)
    return found if isinstance(found, Mapping) else {}


def number(node: object, *path: str) -> float | None:
    """Return the finite number at a path, or None."""
    found = at(node, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def count(node: object, *path: str) -> int | None:
    """Return the count at a path (12.0 is one; 12.5 and -1 are none), or None."""
    value = number(node, *path)
    return None if value is None or value < 0 or value != int(value) else int(value)


def words(node: object, *path: str) -> str:
    """Return the text at a path, empty when there is none."""
    found = at(node, *path)
    return found if isinstance(found, str) else ""


def flag(node: object, *path: str) -> bool | None:
    """Return the truth value at a path, or None."""
    found = at(node, *path)
    return found if isinstance(found, bool) else None


def rows(node: object, *path: str) -> list[Json]:
    """Return the objects of the list at a path, in order; anything else in it is left out."""
    return [row for row in _items(at(node, *path)) if isinstance(row, Mapping)]


def texts(node: object, *path: str) -> list[str]:
    """Return the strings of the list at a path, in order."""
    return [item for item in _items(at(node, *path)) if isinstance(item, str)]


def series(node: object, *path: str) -> list[float | None]:
    """Return the list at a path as numbers; what is not a finite number is None."""
    return [number(item) for item in _items(at(node, *path))]


def _items(found: object) -> Sequence[object]:
    return found if isinstance(found, list | tuple) else ()
