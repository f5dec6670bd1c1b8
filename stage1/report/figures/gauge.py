"""A number on a track with its interval and the limit that it is judged by."""

from stage1.report.figures.placing import text_width
from stage1.report.markup import Markup, el
from stage1.report.svg import Scale, drawing, round_up, text

_WIDTH, _HEIGHT = 280, 46


def gauge(
    name: str,
    title: str,
    *,
    value: float | None,
    low: float | None,
    high: float | None,
    limit: float | None,
    limit_text: str,
    top: float | None = None,
    judged: bool = True,
) -> Markup:
    """Draw a value (dot), its interval (bar) and the limit (tick with a label) on one track.

    Args:
        name: Id of the drawing.
        title: What it shows.
        value: Point estimate, or None to leave the dot out.
        low: Lower end of the interval.
        high: Upper end of the interval.
        limit: Where the limit's tick stands, or None.
        limit_text: The limit in words.
        top: Right end of the track; None chooses a round number that holds everything.
        judged: Mark the upper end, because that is what the limit is compared with.
    """
    known = [number for number in (value, low, high, limit) if number is not None]
    scale = Scale(0, top or round_up(max([*known, 1e-9]) * 1.15), 8, _WIDTH - 8)
    middle = 14.0
    shapes = [el("line", x1=scale.start, x2=scale.end, y1=middle, y2=middle, cls="track")]
    if low is not None and high is not None:
        width = max(scale(high) - scale(low), 1.5)
        shapes.append(el("rect", x=scale(low), y=middle - 4, width=width, height=8, rx=2, cls="interval"))
    if high is not None and judged:
        shapes.append(el("line", x1=scale(high), x2=scale(high), y1=middle - 8, y2=middle + 8, cls="bound"))
    if value is not None:
        shapes.append(el("circle", cx=scale(value), cy=middle, r=4.5, cls="mark ink"))
    if limit is not None:
        x = scale(limit)
        shapes.append(el("line", x1=x, x2=x, y1=2, y2=28, cls="limit"))
        half = text_width(limit_text) / 2
        shapes.append(text(min(max(x, half), _WIDTH - half), 41, limit_text, "tick", anchor="middle"))
    return drawing(name, title, limit_text, (_WIDTH, _HEIGHT), shapes)
