"""Markdown whose values cannot break out of their place: tables, plain text, code."""

import re
from collections.abc import Sequence

from stage1.report.markup import clean, clip

_IN_CODE = str.maketrans({"`": "'", "|": "/", "<": "‹", ">": "›"})
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def plain(text: str, limit: int = 400) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(clip(clean(text), limit).split()))


def code(text: str, limit: int = 200) -> str:
    """Return a code span that its content cannot close; no tag stands in it even for a reader that ignores spans."""
    inner = " ".join(clip(clean(text), limit).translate(_IN_CODE).split())
    return f"`{inner}`" if inner else "n/a"


def table(headers: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Build a table from cells that are Markdown already."""
    lines = [headers, ["---"] * len(headers), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
