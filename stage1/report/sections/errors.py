"""The worst misses and false alarms, as pictures."""

from stage1.report.markup import Markup, clip, el, join
from stage1.report.numbers import missing, percent, shown
from stage1.report.pictures import embed
from stage1.report.read import Json, flag, number, rows, words
from stage1.report.story import Story

_MOST = 24
_MAX_BYTES = 36_000
_MAX_SIDE = 240


def build(story: Story) -> Markup:
    """Build one gallery of misses and one of false alarms."""
    worst = rows(story.metrics, "worst")
    return join(
        [
            _gallery(
                story, "Misses", "road work that was called clear", [e for e in worst if words(e, "kind") == "miss"]
            ),
            _gallery(
                story,
                "False alarms",
                "clear images called road work",
                [e for e in worst if words(e, "kind") == "false_alarm"],
            ),
        ]
    )


def _gallery(story: Story, title: str, meaning: str, errors: list[Json]) -> Markup:
    heading = el("h3", title, el("small", f" {meaning}"))
    if not errors:
        return join([heading, el("p", "None among the listed errors.", cls="aside")])
    cards = [_card(story, each, title) for each in errors[:_MOST]]
    rest = len(errors) - _MOST
    more = el("p", f"{rest:,} more are listed in metrics.json.", cls="aside") if rest > 0 else None
    return join([heading, el("ul", *cards, cls="gallery"), more])


def _card(story: Story, error: Json, title: str) -> Markup:
    name = clip(words(error, "id") or "without id", 120)
    probability, answered = number(error, "probability"), flag(error, "answered")
    picture = embed(story.thumbnails.get(words(error, "id")), max_bytes=_MAX_BYTES, max_side=_MAX_SIDE)
    shape = el("div", "no thumbnail", cls="empty") if picture is None else picture.img(f"{title}: {name}")
    fate = "answered" if answered else "deferred" if answered is False else "answered or not: not recorded"
    chance = missing() if probability is None else join(["P(road work) ", shown(percent(probability))])
    where = [clip(part, 80) for part in (words(error, "source"), words(error, "group")) if part not in ("", name)]
    return el(
        "li",
        shape,
        el("p", chance, ", ", fate, cls="chance"),
        el("p", el("bdi", name), cls="id"),
        el("p", el("bdi", " · ".join(where)), cls="where") if where else None,
    )
