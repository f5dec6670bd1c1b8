"""What `stage1 data inspect` found, as text for a terminal and as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from stage1.report.markup import Markup, clip, document, el, join
from stage1.report.numbers import percent, plural, whole
from stage1.report.page import footer, head, section
from stage1.report.pictures import embed
from stage1.report.tables import facts, table

_HEADERS = ("Split", "Images", "Positives", "Positive rate", "Groups", "Synthetic", "Unlabeled")
_KINDS = {
    "positive": "Positives",
    "negative": "Negatives",
    "synthetic": "Synthetic images",
    "unlabeled": "Images without label",
    "alike": "Near-duplicates in different groups, pair by pair",
}
_MOST_BYTES = 40_000
Picture = tuple[str, str, bytes]


def inspection_text(report: Mapping[str, Any]) -> str:
    """Tell an inspection in plain text.

    Args:
        report: `Inspection.report` of stage1.data.inspect.
    """
    splits = [list(map(str, row)) for row in _split_rows(report)]
    sources = [[str(cell) for cell in row] for row in _group_rows(report["sources"])]
    parts = [
        "\n".join(f"{name}: {value}" for name, value in _facts(report)),
        _columns(_HEADERS, splits),
        _columns(("Source", "Images", "Positives", "Positive rate", "Splits"), sources) if len(sources) > 1 else "",
        "\n".join(f"warning: {warning}" for warning in report["warnings"]),
    ]
    return "\n\n".join(part for part in parts if part)


def inspection_page(report: Mapping[str, Any], sheet: Sequence[Picture]) -> str:
    """Tell an inspection as a whole HTML document that loads nothing.

    Args:
        report: `Inspection.report` of stage1.data.inspect.
        sheet: (kind, uri, JPEG bytes) of each picture, kinds side by side.
    """
    title = f"Data set {clip(str(report['data']), 100)}"
    warnings = report["warnings"]
    banner = el("header", el("p", "stage1 data inspection", cls="eyebrow"), el("h1", el("bdi", title)))
    main = el(
        "main",
        section("what", "What there is", facts(_facts(report))),
        section("splits", "What the split would be", join([_splits(report), _warnings(warnings)])),
        section("groups", "Where the images come from", join([_by("sources", report), _by("largest_groups", report)])),
        section("sheet", "Contact sheet", join(_sheets(sheet))),
        section("skipped", "What is left out", _skipped(report)),
        id="top",
    )
    return str(document(head(title), el("body", banner, "\n", main, footer())))


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    pictures, near = report["pictures"], report["near_duplicates"]
    skipped = ", ".join(f"{whole(count)} {reason}" for reason, count in report["skipped_by_reason"].items())
    alike = "not looked for"
    if near["mode"] != "off":
        across = sum(near["across_splits"].values())
        alike = (
            f"{plural(near['pairs'], 'pair')} of different groups, {whole(near['images'])} images; {whole(across)} in "
            f"two splits, {whole(near['label_conflicts'])} with different labels"
        )
    return [
        ("Images", f"{whole(report['num_images'])} with label, {whole(report['num_unlabeled'])} without"),
        ("Synthetic", whole(report["num_synthetic"])),
        ("Groups", whole(report["num_groups"])),
        ("Width", _spread(pictures["width"], "px")),
        ("Height", _spread(pictures["height"], "px")),
        ("File size", f"{_spread(pictures['bytes'], 'bytes')}; {pictures['total_bytes'] / 2**20:,.1f} MiB in all"),
        ("Copies", f"{whole(report['duplicates']['images'])} with the bytes of another image"),
        ("Near-duplicates", alike),
        ("Left out", skipped or "nothing"),
        ("Data digest", str(report["data_digest"])),
    ]


def _spread(values: Mapping[str, int], unit: str) -> str:
    return f"{whole(values['least'])} to {whole(values['most'])} {unit}, median {whole(values['median'])}"


def _split_rows(report: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, counts in report["splits"].items():
        share = counts["positive_share"]
        rate = "no images" if share is None else f"{percent(share['value'])} ({_interval(share)})"
        rows.append([name, whole(counts["images"]), whole(counts["positives"]), rate, whole(counts["groups"])])
        rows[-1] += [whole(counts["synthetic"]), whole(counts["unlabeled"])]
    return rows


def _interval(share: Mapping[str, float]) -> str:
    return f"{percent(share['low'])} to {percent(share['high'])}"


def _splits(report: Mapping[str, Any]) -> Markup:
    level = percent(report["certification"]["confidence"])
    caption = f"The four splits; positive rates with {level} intervals"
    return table(caption, _HEADERS, _split_rows(report), numeric=range(1, 7), stacked=True)


def _group_rows(groups: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            clip(group["name"] or "(not named)", 60),
            whole(group["images"]),
            whole(group["positives"]),
            percent(group["positives"] / group["labelled"]) if group["labelled"] else "no labels",
            ", ".join(group["splits"]),
        ]
        for group in groups
    ]


def _by(column: str, report: Mapping[str, Any]) -> Markup:
    named = {"sources": ("Source", "The largest sources"), "largest_groups": ("Group", "The largest groups")}
    header, caption = named[column]
    headers = (header, "Images", "Positives", "Positive rate", "Splits")
    return table(caption, headers, _group_rows(report[column]), numeric=range(1, 4), stacked=True)


def _warnings(warnings: Sequence[str]) -> Markup | None:
    if not warnings:
        return None
    return el("ul", *(el("li", el("strong", "Warning: "), clip(text, 600)) for text in warnings), cls="warnings")


def _sheets(sheet: Sequence[Picture]) -> list[Markup]:
    parts = []
    for kind, pictures in groupby(sheet, key=lambda picture: picture[0].split(" ")[0]):
        figures = []
        for name, uri, jpeg in pictures:
            picture = embed(jpeg, max_bytes=_MOST_BYTES, max_side=128)
            if picture is not None:
                words = clip(uri, 60) if name == kind else f"{name}: {clip(uri, 60)}"
                figures.append(el("li", picture.img(f"{name}: {uri}"), el("p", words)))
        parts += [el("h3", _KINDS.get(kind, kind)), el("ul", *figures, cls="gallery")]
    return parts


def _skipped(report: Mapping[str, Any]) -> Markup:
    rows = report["skipped"]
    if not rows:
        return el("p", "Nothing: every file is an image that is used.")
    items = (el("li", el("code", clip(row["path"], 200)), f": {row['reason']}") for row in rows)
    return el("ul", *items, cls="plain")


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    lines = []
    for cells in (headers, *rows):
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([cells[0].ljust(widths[0]), *padded[1:]]))
    return "\n".join(lines)
