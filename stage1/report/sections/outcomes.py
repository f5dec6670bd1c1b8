"""What happens to road work and to clear images at each policy."""

from stage1.report.figures.outcome import Part, outcome
from stage1.report.markup import Markup, el, join
from stage1.report.names import chosen_policy, in_order, policy_name
from stage1.report.numbers import missing, shown, whole
from stage1.report.read import Json, count, mapping
from stage1.report.story import Story
from stage1.report.tables import table

_CELLS = ("answered_tp", "answered_fn", "deferred_pos", "answered_tn", "answered_fp", "deferred_neg")


def build(story: Story) -> Markup:
    """Build the figure for the chosen policy and the counts of all."""
    chosen = chosen_policy(story.metrics)
    confusion = mapping(story.metrics, "policies", chosen, "confusion")
    parts = [_figure(chosen, confusion), _table(story, chosen)]
    return join(parts)


def _figure(chosen: str, confusion: Json) -> Markup:
    cells = {cell: count(confusion, cell) for cell in _CELLS}
    if any(value is None or value < 0 for value in cells.values()):
        return el("p", missing("no confusion counts for the chosen policy"))

    def parts(*named: tuple[str, str, str]) -> list[Part]:
        return [(words, cells[cell] or 0, style) for words, cell, style in named]

    bars = [
        (
            "Road work",
            parts(
                ("found", "answered_tp", "right"),
                ("missed", "answered_fn", "wrong"),
                ("deferred", "deferred_pos", "deferred"),
            ),
        ),
        (
            "No road work",
            parts(
                ("cleared", "answered_tn", "right"),
                ("false alarms", "answered_fp", "wrong"),
                ("deferred", "deferred_neg", "deferred"),
            ),
        ),
    ]
    text = f"{policy_name(chosen)} (chosen), on val_test."
    return el("figure", outcome("figure-outcome", bars), el("figcaption", text), cls="narrow")


def _table(story: Story, chosen: str) -> Markup | None:
    names = in_order(mapping(story.metrics, "policies"))
    if not names:
        return None
    body: list[list[Markup | str]] = []
    for name in names:
        confusion = mapping(story.metrics, "policies", name, "confusion")
        values = (count(confusion, cell) for cell in _CELLS)
        label = policy_name(name) + (" (chosen)" if name == chosen else "")
        body.append([label, *(shown(None if value is None else whole(value)) for value in values)])
    headers = ["Policy", "Found", "Missed", "Deferred road work", "Cleared", "False alarms", "Deferred clear"]
    return table("Confusion with deferral", headers, body, numeric=range(1, 7))
