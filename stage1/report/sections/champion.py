"""The candidate beside the model that serves now."""

from stage1.report.markup import Markup, clip, el, join
from stage1.report.names import chosen_metrics, policy_name
from stage1.report.numbers import decimal, estimate, missing, round_decimal
from stage1.report.read import Json, count, flag, mapping, number, words
from stage1.report.sections.policies import bounded
from stage1.report.story import Story
from stage1.report.svg import Scale, drawing, round_up, text
from stage1.report.tables import table

_WIDTH, _HEIGHT = 440, 92


def build(story: Story) -> Markup:
    """Build the comparison, or say that there is no champion."""
    champion = mapping(story.metrics, "champion")
    if not champion:
        if mapping(story.decision, "champion"):
            return el("p", missing("the channel has a champion, but its metrics are not here"))
        return el("p", "No champion: first promotion of this channel. There is nothing to compare with.")
    return join([_table(story, champion), _difference(champion), _identical(champion)])


def _table(story: Story, champion: Json) -> Markup:
    ours = chosen_metrics(story.metrics)
    sequence = count(champion, "sequence")
    order = "" if sequence is None else f" (sequence {sequence:,})"
    policy = policy_name(words(champion, "policy")) if words(champion, "policy") else missing()
    body: list[list[Markup | str]] = [
        ["AUGRC (lower is better)", estimate(ours, "augrc", rate=False), estimate(champion, "augrc", rate=False)],
        ["Coverage", estimate(ours, "coverage"), estimate(champion, "coverage")],
        ["FNR among answered", *(bounded(each, "fnr_answered", "misses", "positives") for each in (ours, champion))],
        ["Exit policy", policy_name(words(story.metrics, "chosen")) or missing(), policy],
        ["Digest", _short(words(story.metrics, "model_digest")), _short(words(champion, "digest"))],
    ]
    return table("Both on the same val_test images", ["", "This candidate", f"Champion{order}"], body)


def _difference(champion: Json) -> Markup:
    value, low, high = (number(champion, "augrc_difference", key) for key in ("value", "low", "upper"))
    if value is None or high is None:
        return el("p", "Difference in AUGRC: ", missing(), cls="aside")
    low = value if low is None else low
    reach = round_up(max(abs(value), abs(low), abs(high), 1e-9))
    scale = Scale(-reach, reach, 40, _WIDTH - 40)
    shapes = [
        el("line", x1=scale.start, x2=scale.end, y1=44, y2=44, cls="track"),
        el("line", x1=scale(0), x2=scale(0), y1=22, y2=62, cls="limit"),
        text(scale(0), 16, "equal", "tick", anchor="middle"),
        text(scale.start, 16, "← candidate better", "tick"),
        text(scale.end, 16, "champion better →", "tick", anchor="end"),
        el("rect", x=scale(low), y=40, width=max(scale(high) - scale(low), 1.5), height=8, rx=2, cls="interval"),
        el("line", x1=scale(high), x2=scale(high), y1=35, y2=53, cls="bound"),
        el("circle", cx=scale(value), cy=44, r=4.5, cls="mark ink"),
    ]
    shapes += [text(scale(tick), 80, round_decimal(tick), "tick", anchor="middle") for tick in scale.ticks(4)]
    told = f"AUGRC differs by {decimal(value)} ({decimal(low, value)} to {decimal(high, value)}); negative is better."
    drawn = drawing("figure-difference", "Difference in AUGRC", told, (_WIDTH, _HEIGHT), shapes)
    return el(
        "figure",
        drawn,
        el("figcaption", told, " Paired over the same images."),
        cls="narrow",
    )


def _identical(champion: Json) -> Markup | None:
    if flag(champion, "identical"):
        return el("p", el("strong", "The candidate and the champion are the same model."), cls="aside")
    return None


def _short(digest: str) -> Markup:
    return el("code", clip(digest, 20)) if digest else missing()
