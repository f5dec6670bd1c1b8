"""How training went: losses, the checkpoint's choice, pre-training and its reconstructions."""

from collections.abc import Sequence

from stage1.report.figures.lines import Axis, Line, Mark, lines
from stage1.report.markup import Markup, clip, el, join
from stage1.report.numbers import decimal, missing, round_decimal
from stage1.report.pictures import embed
from stage1.report.read import Json, count, flag, number, rows, words
from stage1.report.story import Story
from stage1.report.svg import round_up
from stage1.report.tables import facts

_PHASES = {"ce": "cross-entropy", "selective": "selective", "conformal": "conformal"}


def build(story: Story) -> Markup:
    """Build the curves of training and pre-training and the agreement of the exported model."""
    history = [row for row in rows(story.history, "rows") if number(row, "epoch") is not None]
    before = [row for row in rows(story.pretrain, "rows") if number(row, "epoch") is not None]
    figures = [
        _loss(history) if history else None,
        _choice(history, count(story.history, "best_epoch")) if history else None,
        _pretraining(before) if before else None,
        _reconstructions(story),
    ]
    parts = [
        None if history else el("p", "Training history: ", missing("not given to this report"), cls="aside"),
        el("div", *figures, cls="figures") if any(figures) else None,
        None if before else el("p", "Nothing was pre-trained, or its history was not given.", cls="aside"),
        _agreement(story),
    ]
    return join(parts)


def _loss(history: list[Json]) -> Markup | None:
    phases: list[tuple[str, list[Json]]] = []
    for row in history:
        phase = words(row, "phase")
        if not phases or phases[-1][0] != phase:
            phases.append((phase, []))
        phases[-1][1].append(row)
    drawn = [
        Line("", index, [number(row, "epoch") for row in members], [number(row, "loss") for row in members])
        for index, (_, members) in enumerate(phases)
    ]
    edges = [
        (number(members[0], "epoch") or 0.0, _PHASES.get(phase, clip(phase, 20))) for phase, members in phases if phase
    ]
    return _curve(
        "loss", "Training loss by phase", "loss", drawn, edges, "Each phase has a loss of its own: compare within one."
    )


def _choice(history: list[Json], best: int | None) -> Markup | None:
    drawn = [Line("", 0, [number(row, "epoch") for row in history], [number(row, "val_augrc") for row in history])]
    marks = []
    chosen = [value for x, value in drawn[0].points() if x == best]
    if best is not None and chosen:
        marks = [Mark(best, chosen[0], 3, f"kept: epoch {best}, {decimal(chosen[0])}")]
    text = "After each epoch; the checkpoint with the lowest is kept."
    return _curve("augrc", "AUGRC on val_select", "AUGRC", drawn, [], text, marks)


def _pretraining(before: list[Json]) -> Markup | None:
    drawn = [Line("", 2, [number(row, "epoch") for row in before], [number(row, "loss") for row in before])]
    return _curve(
        "pretraining",
        "Pre-training loss",
        "loss",
        drawn,
        [],
        "Masked reconstruction on the training images, without labels.",
    )


def _curve(
    name: str,
    title: str,
    quantity: str,
    drawn: Sequence[Line],
    edges: Sequence[tuple[float, str]],
    text: str,
    marks: Sequence[Mark] = (),
) -> Markup | None:
    points = [point for each in drawn for point in each.points()]
    if not points:
        return None
    epochs = [x for x, _ in points]
    most = max(y for _, y in points)
    figure = lines(
        f"figure-{name}",
        title,
        f"From {decimal(points[0][1])} at epoch {epochs[0]:g} to {decimal(points[-1][1])} at epoch {epochs[-1]:g}.",
        drawn,
        _epochs(min(epochs), max(epochs)),
        Axis(quantity, min(0.0, min(y for _, y in points)), round_up(most) if most > 0 else 1.0, round_decimal),
        dividers=edges,
        marks=marks,
        dots=True,
    )
    return el("figure", figure, el("figcaption", el("strong", f"{title}. "), text))


def _epochs(first: float, last: float) -> Axis:
    last = max(last, first + 1)
    return Axis("epoch", first, last, lambda epoch: f"{epoch:g}", ticks=int(min(5, last - first)))


def _reconstructions(story: Story) -> Markup | None:
    if story.reconstructions_png is None:
        return None
    picture = embed(story.reconstructions_png, max_bytes=700_000, max_side=1200)
    if picture is None:
        return el("figure", el("figcaption", "Reconstructions: ", missing("the picture cannot be read")))
    text = "Top to bottom: what the network saw, what it filled in, the original."
    if words(story.pretrain, "objective") == "masked autoencoder":
        text += (
            " The network predicts each patch's pattern; the patch's true mean and contrast, which it never sees, are "
            "put back for the picture."
        )
    return el(
        "figure",
        picture.img("Masked images and their reconstructions"),
        el("figcaption", el("strong", "Reconstructions. "), text),
        cls="pixels",
    )


def _agreement(story: Story) -> Markup | None:
    if not story.agreement:
        return el("p", "ONNX against torch: ", missing("agreement was not recorded"), cls="aside")
    pairs = [
        (clip(key.replace("_", " "), 60), _value(value))
        for key, value in story.agreement.items()
        if key != "schema" and isinstance(value, int | float | str | bool | None)
    ]
    return join([el("h3", "Exported ONNX against torch"), facts(pairs[:20])])


def _value(value: object) -> Markup | str:
    node = {"value": value}
    if (truth := flag(node, "value")) is not None:
        return "yes" if truth else "no"
    if (whole := count(node, "value")) is not None:
        return f"{whole:,}"
    if (real := number(node, "value")) is not None:
        return f"{real:.3g}"
    return clip(words(node, "value"), 200) or missing()
