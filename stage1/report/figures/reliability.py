"""The reliability diagram: predicted probability against observed rate, with the counts beneath."""

import math
from collections.abc import Sequence

from stage1.report.figures.placing import Box, place, sampled
from stage1.report.markup import Markup, el
from stage1.report.numbers import percent, round_percent, whole
from stage1.report.read import Json, count, number
from stage1.report.svg import Frame, Scale, axes, drawing, frame, text

_WIDTH, _HEIGHT, _COUNTS_TOP = 440, 390, 276
_LEFT, _RIGHT = 52, 424


def reliability(name: str, bins: Sequence[Json]) -> Markup:
    """Draw the bins of curves.json; a bin's whiskers are its 95% Wilson interval.

    Args:
        name: Id of the drawing.
        bins: Objects with low, high, count, mean_probability and positive_rate.
    """
    area = frame((0, 1), (0, 1), width=_WIDTH, height=_COUNTS_TOP, margins=(12, _WIDTH - _RIGHT, 44, _LEFT))
    shapes = [
        axes(area, "predicted probability of road work", "observed share", round_percent, round_percent),
        el("line", x1=area.x(0), y1=area.y(0), x2=area.x(1), y2=area.y(1), cls="ideal"),
        _ideal_label(area, bins),
    ]
    shapes += [shape for each in bins for shape in _bin(area, each)]
    shapes += _counts(area.x, bins)
    told = f"{len(bins)} bins; the lower part counts images per bin on a square-root scale."
    return drawing(name, "Reliability: predicted probability against observed share", told, (_WIDTH, _HEIGHT), shapes)


def _ideal_label(area: Frame, bins: Sequence[Json]) -> Markup:
    words, crowd = "perfect calibration", [(area.x(share / 100), area.y(share / 100)) for share in range(101)]
    for each in bins:
        mean, rate, images = number(each, "mean_probability"), number(each, "positive_rate"), count(each, "count")
        if mean is not None and rate is not None and images and 0 <= rate <= 1:
            low, high = wilson(rate, images)
            crowd += sampled([(area.x(mean), area.y(low)), (area.x(mean), area.y(high))])
    box = Box(area.x.start + 6, area.x.end, area.y.end, area.y.start)
    x, y = place(words, (area.x(0.45), area.y(0.45)), crowd, box)
    return text(x, y, words, "tick halo")


def wilson(rate: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval of a binomial rate.

    >>> low, high = wilson(0.5, 100)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)

    Reference: Wilson 1927.
    """
    scale = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _bin(area: Frame, each: Json) -> list[Markup]:
    mean, rate, images = number(each, "mean_probability"), number(each, "positive_rate"), count(each, "count")
    if mean is None or rate is None or not images or not 0 <= rate <= 1:
        return []
    low, high = wilson(rate, images)
    x = area.x(mean)
    title = el("title", f"{whole(images)} images: predicted {percent(mean)}, observed {percent(rate)}")
    return [
        el("line", x1=x, x2=x, y1=area.y(low), y2=area.y(high), cls="whisker"),
        el("circle", title, cx=x, cy=area.y(rate), r=4, cls="mark s0"),
    ]


def _counts(x: Scale, bins: Sequence[Json]) -> list[Markup]:
    counted = [(number(each, "low"), number(each, "high"), count(each, "count")) for each in bins]
    bars = [(low, high, images) for low, high, images in counted if low is not None and high is not None and images]
    if not bars:
        return []
    most = max(images for _, _, images in bars)
    height = Scale(0, math.sqrt(most), _HEIGHT - 24, _COUNTS_TOP + 18)
    shapes = [text(_LEFT, _HEIGHT - 6, "images per bin (square-root scale)", "title")]
    for low, high, images in bars:
        top, left, right = height(math.sqrt(images)), x(low), x(high)
        bar = el(
            "rect",
            el("title", f"{percent(low)} to {percent(high)}: {whole(images)} images"),
            x=left + 0.75,
            y=top,
            width=max(right - left - 1.5, 1),
            height=height.start - top,
            cls="bar",
        )
        shapes.append(bar)
        if images in (most, bars[0][2], bars[-1][2]):
            shapes.append(text((left + right) / 2, top - 4, whole(images), "tick", anchor="middle"))
    shapes.append(el("line", x1=x.start, x2=x.end, y1=height.start, y2=height.start, cls="axis"))
    return shapes
