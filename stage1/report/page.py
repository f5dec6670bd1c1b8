"""The page: one self-contained HTML document, verdict first. No scripts, no requests, no fonts from elsewhere."""

from importlib.resources import files

from stage1.report.markup import Markup, document, el, join, style
from stage1.report.sections import SECTIONS, opening
from stage1.report.story import Story

# The page may load nothing at all, wherever it is opened; pictures are inside it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(story: Story) -> str:
    """Tell a run as one HTML page.

    Args:
        story: What the steps left; any value in it may be missing.

    Returns:
        A whole HTML document in UTF-8, under 5 MB, that needs neither scripts nor a network.
    """
    told = [(each, content) for each in SECTIONS if (content := each.build(story)) is not None]
    contents = el(
        "nav",
        el("ul", *(el("li", el("a", each.title, href=f"#{each.name}")) for each, _ in told)),
        aria_label="Contents",
    )
    main = el("main", opening(story), contents, *(section(s.name, s.title, content) for s, content in told), id="top")
    return str(document(head(story.title), el("body", _banner(story), "\n", main, footer())))


def head(title: str) -> Markup:
    """Build the head of a page that loads nothing: policy, title and the style sheet."""
    css = files("stage1.report").joinpath("style.css").read_text(encoding="utf-8")
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("link", rel="icon", href="data:,"),
        el("title", title),
        style(css),
    )


def _banner(story: Story) -> Markup:
    return el("header", el("p", "stage1 evaluation report", cls="eyebrow"), el("h1", el("bdi", story.title)))


def section(name: str, title: str, content: Markup) -> Markup:
    """Build one section under its heading."""
    heading = el("h2", title, id=f"{name}-heading")
    return join(["\n", el("section", heading, content, id=name, aria_labelledby=f"{name}-heading")])


def footer() -> Markup:
    """Build the page's last line."""
    return el(
        "footer", el("p", "Written by stage1. This page is complete in itself: it loads nothing and runs nothing.")
    )
