"""Configuration and provenance, folded away."""

from collections.abc import Iterator

from stage1.report.markup import Markup, clip, el, join
from stage1.report.numbers import missing
from stage1.report.read import Json, mapping, words
from stage1.report.story import Story
from stage1.report.tables import scroller
from stage1.report.tables import title as caption

_MOST = 400
_FOLDED = ("config", "libraries", "policies")


def build(story: Story) -> Markup:
    """Build the digests, and every configuration value behind a fold."""
    short = {key: value for key, value in story.provenance.items() if key not in _FOLDED}
    digests = {
        "data digest": words(story.metrics, "data_digest") or words(story.split, "data_digest"),
        "model digest": words(story.metrics, "model_digest") or words(story.decision, "model_digest"),
        "evaluation digest": words(story.decision, "evaluation_digest"),
    }
    return join(
        [
            _listing("Digests and versions", short | digests),
            _fold("Configuration", mapping(story.provenance, "config")),
            _fold("Library versions", mapping(story.provenance, "libraries")),
            *(_fold(f"Policy file: {name}", mapping(story.policies, name)) for name in sorted(story.policies)),
        ]
    )


def flatten(node: object, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str | None]]:
    """Yield (dotted name, value) for every leaf; long lists are cut and deep nesting is written as it is.

    >>> list(flatten({"train": {"epochs": 3, "resume": None}, "seed": 0}))
    [('train.epochs', '3'), ('train.resume', None), ('seed', '0')]
    """
    if isinstance(node, dict) and depth < 12:
        for key, value in node.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    elif isinstance(node, list | tuple):
        listed = ", ".join(clip(str(item), 60) for item in node[:12])
        yield prefix, listed + (f", … ({len(node):,} in all)" if len(node) > 12 else "")
    else:
        yield prefix, None if node is None else clip(str(node), 300)


def _fold(title: str, node: Json) -> Markup:
    content = _listing(title, node) if node else el("p", missing())
    return el("details", el("summary", title), content)


def _listing(title: str, node: Json) -> Markup:
    leaves = list(flatten(dict(node)))
    lines = (
        el("tr", el("th", clip(name, 120), scope="row"), el("td", el("code", value) if value else missing("not set")))
        for name, value in leaves[:_MOST]
    )
    more = f" (first {_MOST} of {len(leaves):,})" if len(leaves) > _MOST else ""
    listed = el("table", caption(title + more), el("tbody", *lines), cls="listing")
    return scroller(title, listed)
