"""Selective risk and generalized risk against coverage, for every policy, with bands."""

from collections.abc import Sequence

from stage1.report.figures.lines import Axis, Line, Mark, lines
from stage1.report.markup import Markup, el, join
from stage1.report.names import chosen_policy, in_order, policy_name, style_of
from stage1.report.numbers import decimal, missing, percent, round_percent
from stage1.report.read import Json, mapping, number, series
from stage1.report.story import Story
from stage1.report.svg import round_up
from stage1.report.verdict import fnr_limit

_STEADY = 0.1  # below this coverage a risk rests on few images and would stretch the axis


def build(story: Story) -> Markup:
    """Build the two risk figures and, where there is one, the trade between limit and coverage."""
    curves = {
        name: mapping(story.curves, "policies", name, "risk_coverage")
        for name in in_order(mapping(story.curves, "policies"))
    }
    figures = [_selective(story, curves), _generalized(story, curves), _thresholds(story)]
    drawn = [figure for figure in figures if figure is not None]
    if not drawn:
        return el("p", missing("no risk-coverage curve was recorded"))
    note = (
        "Bands are pointwise intervals. Read a curve at the coverage you need; it says nothing about road work alone."
    )
    return join([el("div", *drawn, cls="figures"), el("p", note, cls="aside")])


def _selective(story: Story, curves: dict[str, Json]) -> Markup | None:
    drawn = []
    for name, curve in curves.items():
        x = series(curve, "coverage")
        low, high = (_per_coverage(series(curve, key), x) for key in ("low", "high"))
        drawn.append(Line(policy_name(name), style_of(curves)[name], x, series(curve, "selective_risk"), low, high))
    marks = _operating_points(story, curves)
    if not any(each.points() for each in drawn):
        return None
    figure = lines(
        "figure-selective-risk",
        "Selective risk against coverage",
        _told(curves, "selective_risk", "wrong among answered"),
        drawn,
        Axis("coverage", 0, 1, round_percent),
        Axis("wrong among answered, √ scale", 0, _top(drawn, marks), round_percent, bend=0.5),
        marks=marks,
    )
    text = "Share of wrong answers among the answered images, at every coverage. Marked: each policy as fitted."
    return el("figure", figure, el("figcaption", el("strong", "Selective risk. "), text))


def _generalized(story: Story, curves: dict[str, Json]) -> Markup | None:
    styles = style_of(curves)
    drawn = [
        Line(
            policy_name(name),
            styles[name],
            *(series(curve, key) for key in ("coverage", "generalized_risk", "low", "high")),
        )
        for name, curve in curves.items()
    ]
    if not any(each.points() for each in drawn):
        return None
    figure = lines(
        "figure-generalized-risk",
        "Generalized risk against coverage",
        _told(curves, "generalized_risk", "answered and wrong"),
        drawn,
        Axis("coverage", 0, 1, round_percent),
        Axis("answered and wrong", 0, _top(drawn, []), round_percent),
    )
    areas = [
        f"{policy_name(name)} {decimal(value)}"
        for name in curves
        if (value := number(story.metrics, "policies", name, "augrc", "value")) is not None
    ]
    text = "Share of all images that are answered and wrong. The area under a curve is its AUGRC"
    return el(
        "figure",
        figure,
        el("figcaption", el("strong", "Generalized risk. "), text, ": " * bool(areas), ", ".join(areas), "."),
    )


def _thresholds(story: Story) -> Markup | None:
    limits, coverage = series(story.curves, "thresholds", "max_fnr"), series(story.curves, "thresholds", "coverage")
    known = sorted((x, y) for x, y in zip(limits, coverage, strict=False) if x is not None and y is not None)
    if len(known) < 2:
        return None
    limit = fnr_limit(story)
    drawn = [Line("", 0, [x for x, _ in known], [y for _, y in known])]
    figure = lines(
        "figure-thresholds",
        "Coverage against the tolerated miss rate",
        f"Coverage from {percent(known[0][1])} to {percent(known[-1][1])}.",
        drawn,
        Axis("tolerated FNR among answered", 0, round_up(known[-1][0]), round_percent),
        Axis("coverage", 0, 1, round_percent),
        dividers=[] if limit is None else [(limit, f"limit {round_percent(limit)}")],
    )
    text = "How much could be answered if more, or fewer, misses were tolerated."
    return el("figure", figure, el("figcaption", el("strong", "The price of the limit. "), text))


def _operating_points(story: Story, curves: dict[str, Json]) -> list[Mark]:
    marks = []
    chosen = chosen_policy(story.metrics)
    for name in curves:
        policy = mapping(story.metrics, "policies", name)
        coverage, accuracy = number(policy, "coverage", "value"), number(policy, "accuracy_answered", "value")
        if coverage and accuracy is not None:
            label = f"chosen: {percent(coverage)} answered" if name == chosen else ""
            marks.append(Mark(coverage, 1 - accuracy, style_of(curves)[name], label))
    return marks


def _per_coverage(values: Sequence[float | None], coverage: Sequence[float | None]) -> list[float | None]:
    """Turn a band of the generalized risk into one of the selective risk, which is that risk over the coverage."""
    pairs = zip(values, coverage, strict=False)
    return [None if value is None or not x else min(value / x, 1.0) for value, x in pairs]


def _top(drawn: Sequence[Line], marks: Sequence[Mark]) -> float:
    most = 1e-6
    for each in drawn:
        for values in (each.y, each.high):
            pairs = zip(each.x, values, strict=False)
            most = max([most, *(y for x, y in pairs if x is not None and y is not None and x >= _STEADY)])
    return min(round_up(max([most, *(mark.y for mark in marks)]) * 1.05), 1.0)


def _told(curves: dict[str, Json], key: str, what: str) -> str:
    told = []
    for name, curve in curves.items():
        risk = series(curve, key)
        if risk and risk[-1] is not None:
            told.append(f"{policy_name(name)} ends at {percent(risk[-1])} {what}")
    return "; ".join(told) + "."
