"""How far predicted probabilities can be believed, and how the model ranks without deferring."""

from stage1.report.figures.lines import Axis, Line, lines
from stage1.report.figures.reliability import reliability
from stage1.report.markup import Markup, el, join
from stage1.report.numbers import decimal, estimate, missing, percent, round_percent
from stage1.report.read import Json, mapping, number, rows, series
from stage1.report.story import Story
from stage1.report.tables import table
from stage1.report.verdict import fnr_limit

_ZOOMS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def build(story: Story) -> Markup:
    """Build the reliability diagram, the error trade-off and the model's own numbers."""
    bins = rows(story.curves, "reliability", "bins")
    figures = [_reliability(bins) if bins else None, _trade(story)]
    drawn = (
        el("div", *figures, cls="figures") if any(figures) else el("p", missing("no reliability bins were recorded"))
    )
    return join([drawn, _numbers(mapping(story.metrics, "model"))])


def _reliability(bins: list[Json]) -> Markup:
    text = "On the diagonal, a predicted 80% means road work in 80% of such images. Whiskers: 95% Wilson intervals."
    return el("figure", reliability("figure-reliability", bins), el("figcaption", el("strong", "Reliability. "), text))


def _trade(story: Story) -> Markup | None:
    pairs = zip(series(story.curves, "roc", "fpr"), series(story.curves, "roc", "tpr"), strict=False)
    known = [(fpr, 1 - tpr) for fpr, tpr in pairs if fpr is not None and tpr is not None]
    points = sorted(known, key=lambda point: (point[0], -point[1]))
    if len(points) < 2:
        return None
    knee = min(max(point) for point in points)
    zoom = next(zoom for zoom in _ZOOMS if zoom >= min(3 * knee, 1.0))
    limit = fnr_limit(story)
    figure = lines(
        "figure-trade",
        "Misses against false alarms when nothing is deferred",
        f"At the knee of the curve, both rates are about {percent(knee)}. The axes end at {round_percent(zoom)}.",
        [Line("", 0, [x for x, _ in points], [y for _, y in points])],
        Axis("false alarms (FPR)", 0, zoom, round_percent),
        Axis("misses (FNR)", 0, zoom, round_percent),
        level=None if limit is None else (limit, f"limit {round_percent(limit)}"),
    )
    text = f"The ROC curve turned over, axes cut at {round_percent(zoom)}: one threshold, nothing deferred."
    return el("figure", figure, el("figcaption", el("strong", "Answering everything. "), text))


def _numbers(model: Json) -> Markup:
    body: list[list[Markup | str]] = [
        ["Accuracy", estimate(model, "accuracy"), "share of right labels, nothing deferred"],
        ["AUROC", estimate(model, "auroc", rate=False), "how well positives rank above negatives"],
        ["Failure AUROC", estimate(model, "failure_auroc", rate=False), "how well the margin ranks right above wrong"],
        ["AUGRC", estimate(model, "augrc", rate=False), "generalised risk over all coverages; lower is better"],
        ["AURC", estimate(model, "aurc", rate=False), "selective risk over all coverages; lower is better"],
        ["E-AURC", estimate(model, "eaurc", rate=False), "AURC above that of a perfect ranking"],
        ["MCC", estimate(model, "mcc", rate=False), "correlation of label and prediction"],
        ["NLL", estimate(model, "nll", rate=False), "log loss; lower is better"],
        ["Brier", estimate(model, "brier", rate=False), "squared error of the probability; lower is better"],
        ["ECE, top label", _ece(model, "ece_top_label"), "binned calibration error of the predicted label"],
        ["ECE, road work", _ece(model, "ece_positive"), "binned calibration error of P(road work)"],
    ]
    return table("The model on val_test, every image answered", ["Measure", "Value", "What it is"], body, stacked=True)


def _ece(model: Json, key: str) -> Markup:
    value, expected = number(model, key, "value"), number(model, key, "expected_if_calibrated")
    written = estimate(model, key, rate=False)
    if value is None or expected is None:
        return written
    note = el("small", f"{decimal(expected, value)} expected if perfectly calibrated", cls="range")
    return join([written, "; " if number(model, key, "low") is not None else " ", note])
