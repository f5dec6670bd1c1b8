"""Building HTML and SVG so that nothing unescaped can slip in.

`el` makes an element; a child that is a plain string is escaped, a child that is `Markup` was built here and is kept.
There is no way to write raw markup by accident: only this module constructs `Markup`.
"""

import re
import unicodedata
from collections.abc import Iterable

_VOID = frozenset({"meta", "img", "br", "hr", "col", "link"})
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_DIRECTION_MARKS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


def clean(text: str) -> str:
    """Replace what a page must not carry by U+FFFD: control characters, lone surrogates, text-direction marks."""
    if _PLAIN.match(text):
        return text
    return "".join(
        character
        if character in "\n\t"
        or (unicodedata.category(character) not in {"Cc", "Cs", "Cn"} and character not in _DIRECTION_MARKS)
        else "\ufffd"
        for character in text
    )


def clip(text: str, limit: int = 160) -> str:
    """Shorten text to at most `limit` characters, an ellipsis included."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape(value: str | float) -> Markup:
    """Escape a value for element content and quoted attributes."""
    return Markup(clean(_plain(value)).translate(_ESCAPES))


def el(tag: str, *children: str | float | None, **attributes: str | float | bool | None) -> Markup:
    """Build one element.

    Args:
        tag: Element name.
        children: Plain strings and numbers are escaped, `Markup` is kept, None is left out.
        attributes: `cls` stands for class, a final underscore is dropped, other underscores become hyphens; None and
            False leave the attribute out, True writes it bare.
    """
    opening = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{join(children)}</{tag}>")


def join(children: Iterable[str | float | None], separator: str = "") -> Markup:
    """Put children one after another; plain ones are escaped, the separator too."""
    kept = (child if isinstance(child, Markup) else escape(child) for child in children if child is not None)
    return Markup(escape(separator).join(kept))


def document(head: Markup, body: Markup) -> Markup:
    """Return a whole HTML document."""
    return Markup("<!DOCTYPE html>\n" + el("html", head, "\n", body, lang="en") + "\n")


def style(css: str) -> Markup:
    """Return a style element; style sheets are package data, so a closing tag inside one is a fault of ours."""
    if "</" in css or "@import" in css or "url(" in css:
        raise ValueError("the style sheet must be self-contained: no closing tag, @import or url(...)")
    return Markup(f"<style>\n{css}</style>")


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def _plain(value: str | float) -> str:
    if isinstance(value, float):
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)
