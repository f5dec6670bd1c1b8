"""Lines with bands over common axes, labelled directly at their ends so that no legend or colour is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stage1.report.figures.placing import Box, gap, place, sampled, text_width
from stage1.report.markup import Markup, el
from stage1.report.svg import Frame, Point, Scale, axes, band, drawing, frame, line, marker, spread, text, thin

_LABEL_GAP = 14.0


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Attributes:
        label: Short name, written at the line's end; empty for none.
        style: 0, 1, 2, ...: the dash pattern, the marker shape and the colour.
        x: Positions, ascending.
        y: Values, as long as `x`; a None leaves the point out.
        low: Lower end of the band, as long as `x`, or empty.
        high: Upper end of the band, as long as `x`, or empty.
    """

    label: str
    style: int
    x: Sequence[float | None]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()

    def points(self) -> list[tuple[float, float]]:
        """Return the known points."""
        return _pairs(self.x, self.y)


@dataclass(frozen=True)
class Mark:
    """A single point worth seeing, with words beside it."""

    x: float
    y: float
    style: int
    label: str


@dataclass(frozen=True)
class Axis:
    """An axis: title, range, how its numbers are written; the bend of a vertical, the ticks of a horizontal one."""

    title: str
    low: float
    high: float
    write: Callable[[float], str]
    bend: float = 1.0
    ticks: int = 5


def lines(
    name: str,
    title: str,
    description: str,
    drawn: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    marks: Sequence[Mark] = (),
    level: tuple[float, str] | None = None,
    dividers: Sequence[tuple[float, str]] = (),
    dots: bool = False,
) -> Markup:
    """Draw lines.

    Args:
        name: Id of the drawing.
        title: What it shows.
        description: The same for those who do not see it.
        drawn: The lines; those drawn later lie above.
        x: Horizontal axis.
        y: Vertical axis.
        marks: Single points with labels.
        level: A horizontal reference line and its label.
        dividers: Vertical lines, each with a label to its right.
        dots: Put a dot on every point (for lines of a few points).
    """
    right = max([16.0, *(32 + text_width(each.label) for each in drawn if each.label)])
    left = 32 + max(text_width(y.write(tick)) for tick in Scale(y.low, y.high, 260, 0, y.bend).ticks())
    area = frame((x.low, x.high), (y.low, y.high), margins=(16, right, 44, left), bend=y.bend)
    shapes = [axes(area, x.title, y.title, x.write, y.write, x.ticks)]
    shapes += [shape for position, label in dividers for shape in _divider(area, position, label)]
    shapes += [shape for each in drawn for shape in _band(area, each)]
    if level is not None and y.low <= level[0] <= y.high:
        height = area.y(level[0])
        shapes.append(el("line", x1=area.x.start, x2=area.x.end, y1=height, y2=height, cls="limit"))
        shapes.append(text(area.x.end - 4, height - 5, level[1], "tick halo", anchor="end"))
    crowd: list[Point] = []
    for each in drawn:
        placed = _placed(area, each.points())
        crowd += sampled(placed)
        if len(placed) > 1:
            shapes.append(line(placed, f"s{each.style % 4}"))
        if dots or len(placed) == 1:
            shapes += [el("circle", cx=px, cy=py, r=2.4, cls=f"dot s{each.style % 4}") for px, py in placed]
    shapes += _end_labels(area, drawn)
    shapes += _marks(area, marks, crowd)
    return drawing(name, title, description, (area.width, area.height), shapes)


def _band(area: Frame, each: Line) -> list[Markup]:
    if len(each.low) != len(each.x) or len(each.high) != len(each.x):
        return []
    whole = [
        (px, low, high)
        for px, low, high in zip(each.x, each.low, each.high, strict=True)
        if px is not None and low is not None and high is not None
    ]
    if len(whole) < 2:
        return []
    upper = _placed(area, [(px, high) for px, _, high in whole])
    lower = _placed(area, [(px, low) for px, low, _ in whole])
    return [band(upper, lower, f"s{each.style % 4}")]


def _placed(area: Frame, points: Sequence[Point]) -> list[Point]:
    return thin([(area.x(px), area.y(py)) for px, py in points])


def _end_labels(area: Frame, drawn: Sequence[Line]) -> list[Markup]:
    ends = [(each, _placed(area, each.points()[-1:])[0]) for each in drawn if each.label and each.points()]
    heights = spread([point[1] for _, point in ends], _LABEL_GAP, area.y.end + 4, area.y.start - 2)
    shapes = []
    for (each, (px, py)), height in zip(ends, heights, strict=True):
        left = area.x.end + 22
        shapes.append(el("path", d=f"M{px + 2:.1f} {py:.1f}L{left - 3:.1f} {height:.1f}", cls="leader"))
        shapes.append(text(left, height + 3.5, each.label, f"label s{each.style % 4}"))
    return shapes


def _marks(area: Frame, marks: Sequence[Mark], crowd: Sequence[Point]) -> list[Markup]:
    shapes = [marker(area.x(each.x), area.y(each.y), each.style) for each in marks]
    avoid = [*crowd, *((area.x(each.x), area.y(each.y)) for each in marks)]
    box = Box(area.x.start + 4, area.x.end, area.y.end, area.y.start)
    for each in marks:
        if each.label:
            at = (area.x(each.x), area.y(each.y))
            found = place(each.label, at, avoid, box)
            shapes += _tied(each.label, at, found)
    return shapes


def _tied(label: str, at: Point, found: Point) -> list[Markup]:
    width = text_width(label)
    words = text(found[0], found[1], label, "tick halo")
    if gap(found, width, at) <= 14:
        return [words]
    across = min(max(at[0], found[0]), found[0] + width)
    down = found[1] + 3 if at[1] > found[1] else found[1] - 12
    return [el("line", x1=at[0], y1=at[1], x2=across, y2=down, cls="leader"), words]


def _divider(area: Frame, position: float, label: str) -> list[Markup]:
    px = area.x(position)
    rule = el("line", x1=px, x2=px, y1=area.y.start, y2=area.y.end, cls="divider")
    fits = px + 4 + text_width(label) <= area.width
    return [rule, text(px + 4 if fits else px - 4, area.y.end + 8, label, "tick halo", anchor=None if fits else "end")]


def _pairs(x: Sequence[float | None], y: Sequence[float | None]) -> list[Point]:
    return [(px, py) for px, py in zip(x, y, strict=False) if px is not None and py is not None]
