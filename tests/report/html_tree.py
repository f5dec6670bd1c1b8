"""A strict reader of the pages that render writes: unlike a browser, it forgives nothing."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "col", "link"}


@dataclass
class Page:
    """Elements as (tag, attributes) in document order, and the text outside of style."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def having(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of that tag."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def tags(self) -> set[str]:
        """Names of all elements."""
        return {name for name, _ in self.elements}

    @property
    def ids(self) -> list[str]:
        """All ids."""
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]


class _Strict(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute stands twice on <{tag}>"
        self.page.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.page.text += data


def parse(html: str) -> Page:
    """Return the page, failing where tags do not nest, an attribute or an id stands twice, or the end is missing."""
    assert html.startswith("<!DOCTYPE html>\n<html lang=")
    assert html.endswith("</html>\n")
    reader = _Strict()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"left open: {reader.open}"
    ids = reader.page.ids
    assert len(ids) == len(set(ids)), "an id stands twice"
    return reader.page
