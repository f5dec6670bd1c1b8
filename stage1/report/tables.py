"""Tables that scroll in their own container and carry a caption and proper headers."""

from collections.abc import Sequence

from stage1.report.markup import Markup, el, join

Cell = Markup | str


def table(
    caption: str,
    headers: Sequence[str],
    body: Sequence[Sequence[Cell]],
    *,
    numeric: Sequence[int] = (),
    stacked: bool = False,
) -> Markup:
    """Build a table whose first column names its rows.

    Args:
        caption: What the table shows; also the name of the scrolling region.
        headers: Column headers.
        body: Rows of cells, each as long as `headers`.
        numeric: Indexes of the columns that are set flush right.
        stacked: On a narrow screen, write each row as a block of labelled lines.
    """
    right = frozenset(numeric)

    def cell(index: int, content: Cell) -> Markup:
        side = "num" if index in right else None
        if index == 0:
            return el("th", content, scope="row", cls=side)
        if stacked:
            return el("td", el("span", content), cls=side, data_label=headers[index])
        return el("td", content, cls=side)

    head = el(
        "tr", *(el("th", h, scope="col", cls="num" if index in right else None) for index, h in enumerate(headers))
    )
    lines = (el("tr", *(cell(index, content) for index, content in enumerate(cells))) for cells in body)
    kind = "stacked" if stacked else None
    return scroller(caption, el("table", title(caption), el("thead", head), el("tbody", *lines), cls=kind))


def scroller(name: str, content: Markup) -> Markup:
    """Wrap wide content in a region of its own that scrolls and can be reached by keyboard."""
    return el("div", content, cls="scroll", role="region", aria_label=name, tabindex="0")


def title(words: str) -> Markup:
    """Build a caption that stays in view while its table scrolls."""
    return el("caption", el("span", words))


def facts(pairs: Sequence[tuple[str, Cell]]) -> Markup:
    """Build a list of names and values."""
    return el("dl", join(el("div", el("dt", name), el("dd", value)) for name, value in pairs), cls="facts")
