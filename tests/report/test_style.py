"""The style sheet: contrast in both themes, and every class that the page uses or declares."""

import re
from importlib.resources import files

import pytest

from stage1.report import Story, render
from stage1.report.markup import style
from tests.report import simulated
from tests.report.html_tree import parse

CSS = files("stage1.report").joinpath("style.css").read_text(encoding="utf-8")


def variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_of_contrast_is_right() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_meets_aa_on_every_background(theme: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = variables(roots[0]) | ({} if theme == "light" else variables(roots[1 if theme == "dark" else 2]))
    for text in ("ink", "soft", "good", "bad", "s0", "s1", "s2", "s3"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["good"], colours["good-wash"]) >= 4.5
    assert contrast(colours["bad"], colours["bad-wash"]) >= 4.5


def test_dark_replaces_every_colour() -> None:
    roots = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    assert variables(roots[0]).keys() == variables(roots[1]).keys() == variables(roots[2]).keys()


def test_every_class_with_a_rule_is_used() -> None:
    pages = [parse(render(story)) for story in (simulated.story(), Story({}, {}, {}, {}, {}))]
    used = {
        name for page in pages for _, attributes in page.elements for name in (attributes.get("class") or "").split()
    }
    ruled = set(re.findall(r"\.([a-z][\w-]*)(?=[^{}]*\{)", CSS))
    sometimes = {"flag", "empty", "warnings", "bad"}  # an observed rate above the limit, no thumbnail, ...
    assert ruled - used <= sometimes


def test_a_style_sheet_that_loads_something_is_refused() -> None:
    for bad in ("@import 'x';", "p { background: url(x) }", "</style><b>"):
        with pytest.raises(ValueError, match="self-contained"):
            style(bad)
