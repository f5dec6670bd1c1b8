"""The gate's checks one by one, its warnings, and how often this test set was looked at."""

from collections.abc import Callable

from stage1.report.markup import Markup, clip, el, join
from stage1.report.names import check_name
from stage1.report.numbers import (
    decimal,
    missing,
    percent_beside,
    round_decimal,
    round_percent,
    whole,
)
from stage1.report.read import Json, count, number, rows, texts, words
from stage1.report.story import Story
from stage1.report.tables import table
from stage1.report.verdict import passes

_RATES = ("fnr_answered", "fpr_answered", "coverage")
_SIGNS = {"<=": "≤ ", ">=": "≥ "}


def build(story: Story) -> Markup:
    """Build the table of checks."""
    checks = rows(story.decision, "checks")
    if not checks:
        return el("p", missing("no check was recorded"))
    listed = table(
        "Every check must pass; a number that is missing refuses",
        ["Check", "Verdict", "Value", "Bound", "Limit", "Reason"],
        [_row(check) for check in checks],
        numeric=(2, 3, 4),
        stacked=True,
    )
    return join([listed, _warnings(story), _look(story)])


def badge(passed: bool) -> Markup:
    """Return 'pass' or 'refuse' with its sign."""
    return el("span", "✓ pass" if passed else "✕ refuse", cls="badge good" if passed else "badge bad")


def _row(check: Json) -> list[Markup | str]:
    value, bound, limit = (number(check, key) for key in ("value", "bound", "limit"))
    absent = _absent(check)
    write, write_limit = _writers(check, limit)
    comparison = words(check, "comparison")
    sign = _SIGNS.get(comparison, clip(comparison, 10))
    return [
        check_name(check),
        badge(passes(check)),
        absent if value is None else write(value),
        absent if bound is None else write(bound),
        absent if limit is None else sign + write_limit(limit),
        clip(words(check, "reason"), 400),
    ]


def _absent(check: Json) -> Markup:
    why = "this check has none: its reason says what it looked at" if passes(check) else "it could not be computed"
    return el("span", "n/a", cls="na", title=why)


def _writers(check: Json, limit: float | None) -> tuple[Callable[[float], str], Callable[[float], str]]:
    if words(check, "name") in _RATES:
        return lambda rate: percent_beside(rate, limit), round_percent
    if all(count(check, key) is not None for key in ("value", "bound", "limit") if number(check, key) is not None):
        return lambda number: whole(int(number)), lambda number: whole(int(number))
    return decimal, round_decimal


def _warnings(story: Story) -> Markup | None:
    warnings = texts(story.decision, "warnings")
    if not warnings:
        return None
    return el("ul", *(el("li", el("strong", "Warning: "), clip(text, 600)) for text in warnings[:50]), cls="warnings")


def _look(story: Story) -> Markup | None:
    look = count(story.decision, "look", "number")
    if look is None:
        return el("p", "Candidates judged on this val_test so far: ", missing(), cls="aside")
    if look <= 1:
        return el("p", "This is the first candidate judged on this val_test.", cls="aside")
    return el("p", f"This is candidate number {look:,} judged on this val_test.", cls="aside")
