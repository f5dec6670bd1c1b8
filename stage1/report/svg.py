"""Scales, axes and paths for small figures that scale with the page and print sharply.

A figure's user unit is about one CSS pixel on a wide screen. Colours, dashes and fonts come from the page's style sheet
by class (`s0`, `s1`, `s2`: one per policy), so that figures follow the theme; nothing is told by colour alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stage1.report.markup import Markup, el, join

Point = tuple[float, float]
Write = Callable[[float], str]


@dataclass(frozen=True)
class Scale:
    """A map from data in [low, high] to drawing units in [start, end]; values beyond are held at the edge.

    `bend` 1 is linear; 0.5 spaces values by their square roots, which opens up what is small.
    """

    low: float
    high: float
    start: float
    end: float
    bend: float = 1.0

    def __call__(self, value: float) -> float:
        """Return the drawing position of a value."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return self.start + math.pow(share, self.bend) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round numbers (1, 2 or 5 times a power of ten apart) that lie within the scale."""
        if self.bend != 1:
            return self._bent_ticks()
        step = round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]

    def _bent_ticks(self, apart: float = 26.0) -> list[float]:
        kept: list[float] = []
        for power in range(math.floor(math.log10(self.high)), -9, -1):
            for factor in (5, 2, 1):
                tick = round(factor * 10.0**power, 12)
                clear = abs(self(tick) - self.start) >= apart and all(abs(self(tick) - self(k)) >= apart for k in kept)
                if tick <= self.high and clear:
                    kept.append(tick)
        return [self.low, *reversed(kept)]


@dataclass(frozen=True)
class Frame:
    """A plotting area inside a drawing: its size, its two scales."""

    width: float
    height: float
    x: Scale
    y: Scale


def frame(
    x_domain: tuple[float, float],
    y_domain: tuple[float, float],
    *,
    width: float = 440,
    height: float = 290,
    margins: tuple[float, float, float, float] = (16, 16, 44, 54),
    bend: float = 1.0,
) -> Frame:
    """Lay out a plotting area; margins are top, right, bottom, left; `bend` is the vertical scale's."""
    top, right, bottom, left = margins
    return Frame(width, height, Scale(*x_domain, left, width - right), Scale(*y_domain, height - bottom, top, bend))


def round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least `least` (1 when that is not positive)."""
    if not least > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def round_up(value: float, parts: int = 5) -> float:
    """Return a round top for an axis from 0 that holds `value` in about `parts` steps."""
    step = round_step(value / parts)
    return step * max(1, math.ceil(value / step - 1e-9))


def axes(area: Frame, x_title: str, y_title: str, x_text: Write, y_text: Write | None, x_about: int = 5) -> Markup:
    """Draw grid lines, tick labels and the two axis titles; without `y_text` the grid follows the horizontal axis."""
    x, y = area.x, area.y
    parts: list[Markup] = []
    if y_text is not None:
        parts += [shape for tick in y.ticks() for shape in _row(x, y(tick), y_text(tick))]
    for tick in x.ticks(x_about):
        top = y.start if y_text else y.end
        parts.append(el("line", x1=x(tick), x2=x(tick), y1=top, y2=y.start + 4, cls="axis" if y_text else "grid"))
        parts.append(text(x(tick), y.start + 16, x_text(tick), "tick", anchor="middle"))
    parts.append(el("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, cls="axis"))
    parts.append(text((x.start + x.end) / 2, area.height - 8, x_title, "title", anchor="middle"))
    middle = (y.start + y.end) / 2
    rotation = f"rotate(-90 12 {middle:.1f})"
    parts.append(text(12, middle, y_title, "title", anchor="middle", transform=rotation))
    return el("g", *parts)


def text(
    x: float, y: float, words: str, cls: str = "", *, anchor: str | None = None, transform: str | None = None
) -> Markup:
    """Draw text whose baseline starts (or has its middle, or its end) at a point."""
    return el("text", words, x=x, y=y, cls=cls or None, text_anchor=anchor, transform=transform)


def line(points: Sequence[Point], cls: str) -> Markup:
    """Draw a line through points in drawing units."""
    return el("path", d=_path(points), cls=f"line {cls}")


def band(upper: Sequence[Point], lower: Sequence[Point], cls: str) -> Markup:
    """Fill the area between two lines in drawing units."""
    return el("path", d=_path([*upper, *reversed(lower)]) + "Z", cls=f"band {cls}")


def marker(x: float, y: float, style: int, cls: str = "") -> Markup:
    """Draw a point in the shape of a style: circle, square, triangle, diamond."""
    name = f"mark s{style % 4} {cls}".strip()
    if style % 4 == 0:
        return el("circle", cx=x, cy=y, r=4.5, cls=name)
    shapes: dict[int, list[Point]] = {
        1: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2: [(0, -5), (5, 4), (-5, 4)],
        3: [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
    }
    return el("path", d=_path([(x + dx, y + dy) for dx, dy in shapes[style % 4]]) + "Z", cls=name)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart to at least `gap`, keeping their order and, where they fit, the range.

    >>> spread([10, 10, 50], 12, 0, 100)
    [4.0, 16.0, 50.0]
    """

    def start(members: Sequence[int]) -> float:
        length = gap * (len(members) - 1)
        centred = sum(wanted[index] for index in members) / len(members) - length / 2
        return max(min(centred, high - length), low)

    groups: list[list[int]] = []
    for index in sorted(range(len(wanted)), key=lambda index: wanted[index]):
        groups.append([index])
        while len(groups) > 1 and start(groups[-2]) + gap * len(groups[-2]) > start(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = {index: start(group) + gap * place for group in groups for place, index in enumerate(group)}
    return [placed[index] for index in range(len(wanted))]


def thin(points: Sequence[Point], columns: int = 160) -> list[Point]:
    """Keep at most four points per column of the drawing: the first, the lowest, the highest and the last."""
    if len(points) <= 4 * columns:
        return list(points)
    low, high = points[0][0], points[-1][0]
    buckets: dict[int, list[int]] = {}
    for index, (x, _) in enumerate(points):
        buckets.setdefault(int((x - low) / ((high - low) or 1.0) * columns), []).append(index)
    kept: set[int] = set()
    for members in buckets.values():
        kept |= {members[0], members[-1]}
        kept |= {min(members, key=lambda i: points[i][1]), max(members, key=lambda i: points[i][1])}
    return [points[index] for index in sorted(kept)]


def drawing(name: str, title: str, description: str, size: tuple[float, float], body: Iterable[Markup]) -> Markup:
    """Wrap shapes in an SVG image with a title and a description for those who do not see it."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        join(body),
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        id=name,
    )


def _row(x: Scale, height: float, label: str) -> list[Markup]:
    rule = el("line", x1=x.start, x2=x.end, y1=height, y2=height, cls="grid")
    return [rule, text(x.start - 6, height + 3.5, label, "tick", anchor="end")]


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
