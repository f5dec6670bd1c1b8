"""Three ways to count a miss, for every policy: dots with their upper bounds against the limit."""

from collections.abc import Sequence
from dataclasses import dataclass

from stage1.report.markup import Markup, el
from stage1.report.numbers import percent, round_percent
from stage1.report.svg import Scale, axes, drawing, frame, marker, round_up, text

_ROW = 20.0


@dataclass(frozen=True)
class Rate:
    """A rate of misses: whose, its value and its upper bound."""

    label: str
    style: int
    value: float | None
    upper: float | None


def misses(name: str, groups: Sequence[tuple[str, Sequence[Rate]]], limit: float | None) -> Markup:
    """Draw groups of rates, one row each.

    Args:
        name: Id of the drawing.
        groups: (heading, rates).
        limit: Tolerated FNR among answered, drawn as a vertical line through the first group, or None.
    """
    known = [n for _, rates in groups for rate in rates for n in (rate.value, rate.upper) if n is not None]
    top = _top(known, limit)
    height = sum(30 + _ROW * len(rates) for _, rates in groups) + 58
    area = frame((0, top), (0, 1), width=640, height=height, margins=(14, 96, 46, 196))
    shapes = [axes(area, "rate of misses", "", round_percent, None)]
    shapes.append(text(area.x.end + 12, area.y.end + 2, "upper bound", "title"))
    y = area.y.end + 6
    for index, (heading, rates) in enumerate(groups):
        y += 16
        shapes.append(text(0, y, heading, "heading"))
        if index == 0 and limit is not None and limit <= top:
            shapes += _limit(area.x(limit), y - 8, y + 6 + _ROW * len(rates), limit)
        for rate in rates:
            y += _ROW
            shapes += _row(area.x, y, rate, top)
        y += 14
    told = "Each dot is the observed rate, each bar ends at its upper confidence bound."
    return drawing(name, "Three ways to count a miss, by policy", told, (area.width, area.height), shapes)


def _row(x: Scale, y: float, rate: Rate, top: float) -> list[Markup]:
    shapes = [text(14, y + 3.5, rate.label, f"label s{rate.style % 4}")]
    if rate.upper is None:
        return [*shapes, text(x.start + 4, y + 3.5, "n/a", "tick")]
    end = x(rate.upper)
    shapes.append(el("line", x1=x(rate.value or 0.0), x2=end, y1=y, y2=y, cls=f"span s{rate.style % 4}"))
    shapes.append(el("line", x1=end, x2=end, y1=y - 5, y2=y + 5, cls="bound"))
    if rate.value is not None:
        shapes.append(marker(x(rate.value), y, rate.style))
    beyond = " →" if rate.upper > top else ""
    shapes.append(text(x.end + 12, y + 3.5, f"≤ {percent(rate.upper)}{beyond}", "tick"))
    return shapes


def _limit(x: float, top: float, bottom: float, limit: float) -> list[Markup]:
    words = text(x, top - 2, f"limit {round_percent(limit)}", "tick halo", anchor="middle")
    return [el("line", x1=x, x2=x, y1=top, y2=bottom, cls="limit"), words]


def _top(known: Sequence[float], limit: float | None) -> float:
    most = max([*known, 1e-3])
    if limit is not None:
        most = max(min(most, 6 * limit), 1.2 * limit)
    return min(round_up(most), 1.0)
