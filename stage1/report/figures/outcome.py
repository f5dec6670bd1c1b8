"""What happens to the images at a policy: a bar for road work and one for none, each cut into its outcomes."""

from collections.abc import Sequence

from stage1.report.figures.placing import text_width
from stage1.report.markup import Markup, el
from stage1.report.numbers import percent, plural, whole
from stage1.report.svg import Scale, drawing, text

_WIDTH, _ROW, _BAR, _LINE = 480, 114, 30, 18
Part = tuple[str, int, str]


def outcome(name: str, bars: Sequence[tuple[str, Sequence[Part]]]) -> Markup:
    """Draw one stacked bar a class.

    Args:
        name: Id of the drawing.
        bars: (title, parts); a part is (words, count, style class). Every bar fills the width; empty ones are outlined.
    """
    shapes = [_hatching()]
    for index, (title, parts) in enumerate(bars):
        shapes += _bar(index * _ROW, title, parts)
    told = "; ".join(f"{title}: " + ", ".join(f"{whole(n)} {words}" for words, n, _ in parts) for title, parts in bars)
    return drawing(name, "Outcomes at the chosen policy", told, (_WIDTH, _ROW * len(bars)), shapes)


def _bar(top: float, title: str, parts: Sequence[Part]) -> list[Markup]:
    total = sum(n for _, n, _ in parts)
    scale = Scale(0, max(total, 1), 0, _WIDTH)
    shapes = [
        text(0, top + 14, f"{title}: {plural(total, 'image')}", "heading"),
        el("rect", x=0.5, y=top + 20, width=_WIDTH - 1, height=_BAR, cls="outline"),
    ]
    start, across, down = 0, 0.0, top + 69
    for words, n, style in parts:
        left, right = scale(start), scale(start + n)
        start += n
        fill = "url(#hatch)" if style == "deferred" else None
        if n:
            width = max(right - left - 1, 1.5)
            shapes.append(el("rect", x=left, y=top + 20, width=width, height=_BAR, cls=style, fill=fill))
        label = f"{whole(n)} {words}" + (f" ({percent(n / total)})" if total else "")
        width = 17 + text_width(label)
        if across + width > _WIDTH:
            across, down = 0.0, down + _LINE
        shapes.append(el("rect", x=across + 0.5, y=down - 10, width=11, height=11, cls=style, fill=fill))
        shapes.append(text(across + 17, down, label, "tick"))
        across += width + 16
    return shapes


def _hatching() -> Markup:
    stripe = el("line", x1=0, y1=0, x2=0, y2=7, cls="stripe")
    tile = el(
        "pattern", stripe, id="hatch", width=7, height=7, patternUnits="userSpaceOnUse", patternTransform="rotate(45)"
    )
    return el("defs", tile)
