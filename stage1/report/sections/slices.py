"""The same numbers per source, group and user-named slice."""

from stage1.report.markup import Markup, clip, el, join
from stage1.report.numbers import decimal, missing, percent, shown, whole
from stage1.report.read import Json, count, number, rows, words
from stage1.report.sections.policies import bounded
from stage1.report.story import Story
from stage1.report.tables import table
from stage1.report.verdict import fnr_limit

_MOST = 60


def build(story: Story) -> Markup:
    """Build the table of slices, the worst bound first when there are too many to show."""
    slices = rows(story.metrics, "slices")
    if not slices:
        return el("p", "No slices: the data name no sources or groups, or none is large enough.", cls="aside")
    kept = slices if len(slices) <= _MOST else sorted(slices, key=_badness)[:_MOST]
    limit = fnr_limit(story)
    return join(
        [
            table(
                "The chosen policy per slice of val_test",
                ["Slice", "Images", "Positives", "Coverage", "FNR among answered, bound", "AUGRC"],
                [_row(each, limit) for each in kept],
                numeric=(1, 2, 3),
            ),
            el("p", f"The {_MOST} slices with the highest bound, of {len(slices):,}.", cls="aside")
            if len(slices) > _MOST
            else None,
            el(
                "p",
                "A slice is smaller than the whole, so its bound is wider. A bound above the limit in a small slice "
                "says that there is too little data to tell, not that the slice fails.",
                cls="aside",
            ),
        ]
    )


def _row(each: Json, limit: float | None) -> list[Markup | str]:
    images, positives = count(each, "images"), count(each, "positives")
    coverage, upper = number(each, "coverage"), number(each, "fnr_answered", "upper")
    value = number(each, "fnr_answered", "value")
    over = limit is not None and value is not None and value > limit
    note = el("small", " observed above the limit", cls="flag") if over else None
    augrc = number(each, "augrc", "value")
    fnr = (
        missing("no answered positives")
        if upper is None and value is None
        else bounded(each, "fnr_answered", "misses", "positives")
    )
    return [
        el("bdi", clip(words(each, "name") or "unnamed", 60)),
        shown(None if images is None else whole(images)),
        shown(None if positives is None else whole(positives)),
        shown(None if (coverage := _coverage(each, coverage)) is None else percent(coverage)),
        join([fnr, note]),
        shown(None if augrc is None else decimal(augrc), "too few images"),
    ]


def _coverage(each: Json, plain: float | None) -> float | None:
    return number(each, "coverage", "value") if plain is None else plain


def _badness(each: Json) -> float:
    upper = number(each, "fnr_answered", "upper")
    return 1.0 if upper is None else -upper
