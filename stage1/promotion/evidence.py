"""Reading metrics.json so that whatever is missing or odd stops the check that needs it."""

import re
from collections.abc import Mapping
from typing import Any

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Unusable(Exception):
    """A check lacks a number that it needs; the message says which and what came instead."""


class Evidence:
    """A view of JSON in which every read either gives a usable value or raises Unusable."""

    def __init__(self, document: object, where: str = "") -> None:
        self._document = document
        self._where = where

    def at(self, *names: str) -> "Evidence":
        """Return the view of a part; a part that is not there is unusable only when it is read."""
        part: Any = self._document
        for name in names:
            part = part.get(name) if isinstance(part, Mapping) else None
        return Evidence(part, ".".join(filter(None, (self._where, *names))))

    @property
    def absent(self) -> bool:
        """Whether there is nothing here."""
        return self._document is None

    def number(self, *names: str, low: float = 0.0, high: float = 1.0) -> float:
        """Return a finite number in [low, high]."""
        found = self._raw(names)
        where = self.at(*names)._where
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unusable(f"{where} must be a number, got {_told(found)}.")
        if not low <= found <= high:  # False for NaN, and safe for integers beyond a float's range
            raise Unusable(f"{where} must lie between {low:g} and {high:g}, got {_told(found)}.")
        return float(found)

    def count(self, *names: str) -> int:
        """Return a whole number of at least 0; KFP turns counts into floats, so 3.0 is one."""
        found = self.number(*names, high=2.0**53)
        if not found.is_integer():
            raise Unusable(f"{self.at(*names)._where} must be a whole number, got {found:g}.")
        return int(found)

    def text(self, *names: str) -> str:
        """Return a text that is not empty."""
        found = self._raw(names)
        if not isinstance(found, str) or not found:
            raise Unusable(f"{self.at(*names)._where} must be a text, got {_told(found)}.")
        return found

    def digest(self, *names: str) -> str:
        """Return a SHA-256 in hex."""
        found = self.text(*names)
        if not _DIGEST.fullmatch(found):
            raise Unusable(f"{self.at(*names)._where} must be a SHA-256 in 64 hex digits, got {_told(found)}.")
        return found

    def flag(self, *names: str) -> bool:
        """Return a bool."""
        found = self._raw(names)
        if not isinstance(found, bool):
            raise Unusable(f"{self.at(*names)._where} must be true or false, got {_told(found)}.")
        return found

    def _raw(self, names: tuple[str, ...]) -> object:
        return self.at(*names)._document


def _told(found: object) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, bool | float | str):
        return repr(found[:80] if isinstance(found, str) else found)
    return f"a {type(found).__name__}"
