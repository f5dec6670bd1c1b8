"""Where a label hides least of the lines around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stage1.report.svg import Point

_LETTER, _HEIGHT = 6.9, 14.0
_SAMPLE = 5.0


@dataclass(frozen=True)
class Box:
    """Where labels must stay, in drawing units; y grows downwards."""

    left: float
    right: float
    top: float
    bottom: float


def text_width(words: str) -> float:
    """Return about how wide a label is, in drawing units."""
    return _LETTER * len(words)


def sampled(points: Sequence[Point]) -> list[Point]:
    """Return points along a line, close enough together that a label cannot slip between them."""
    dense = list(points[:1])
    for (x0, y0), (x1, y1) in pairwise(points):
        steps = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / _SAMPLE))
        dense += [(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps) for k in range(1, steps + 1)]
    return dense


def place(words: str, beside: Point, avoid: Sequence[Point], box: Box) -> Point:
    """Return the left end of the baseline for a label: covering as little as possible, then as near as possible.

    Args:
        words: The label.
        beside: The point that it belongs to.
        avoid: Points that should stay visible.
        box: Where the label must stay.
    """
    width = text_width(words)
    across = range(math.ceil(box.left), max(math.floor(box.right - width), math.ceil(box.left)) + 1, 9)
    down = range(math.ceil(box.top + _HEIGHT), math.floor(box.bottom - 4) + 1, 7)

    def cost(at: Point) -> tuple[int, float]:
        x, y = at
        covered = sum(x - 5 <= px <= x + width + 5 and y - _HEIGHT <= py <= y + 6 for px, py in avoid)
        return covered, gap(at, width, beside)

    return min(((float(x), float(y)) for x in across for y in down), key=cost, default=beside)


def gap(at: Point, width: float, beside: Point) -> float:
    """Return the distance from a point to the nearest edge of a label."""
    dx = max(at[0] - beside[0], 0.0, beside[0] - at[0] - width)
    dy = max(at[1] - 10 - beside[1], 0.0, beside[1] - at[1])
    return math.hypot(dx, dy)
