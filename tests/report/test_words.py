"""Numbers, names, markup and reading: the small parts that every sentence of the page rests on."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.report import names, numbers, svg
from stage1.report.figures import reliability
from stage1.report.markdown import code, plain, table
from stage1.report.markup import Markup, clean, clip, el, escape, join
from stage1.report.names import in_order, style_of
from stage1.report.numbers import decimal, percent, percent_beside, round_decimal, round_percent
from stage1.report.read import at, count, number, rows, series
from stage1.report.sections import provenance


@pytest.mark.parametrize("module", [numbers, names, svg, reliability, provenance])
def test_examples_in_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


@given(st.floats(0, 1))
def test_a_percentage_is_right_to_its_last_digit(rate: float) -> None:
    text = percent(rate)
    digits = len(text.partition(".")[2].rstrip("%"))
    assert abs(float(text.rstrip("%")) - 100 * rate) <= 0.5 * 10**-digits * (1 + 1e-6) + 1e-12


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-6, 1 - 1e-6))
def test_a_rate_beside_its_limit_never_looks_equal_when_it_is_not(rate: float, limit: float) -> None:
    shown = float(percent_beside(rate, limit).rstrip("%"))
    if abs(rate - limit) > 1e-9:
        assert (shown > 100 * limit) == (rate > limit)


@given(st.floats(-1e6, 1e6).filter(lambda value: abs(value) > 1e-6))
def test_a_decimal_has_no_exponent_and_three_digits(value: float) -> None:
    text = decimal(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.0051, abs=1e-8)


def test_limits_are_written_as_short_as_they_are() -> None:
    assert [round_percent(rate) for rate in (0.02, 0.025, 1.0, 0.0)] == ["2%", "2.5%", "100%", "0%"]
    assert [round_decimal(value) for value in (0.02, 100.0, -0.0)] == ["0.02", "100", "0"]


@given(st.text())
def test_escaped_text_cannot_leave_its_place(text: str) -> None:
    assert not set(escape(text)) & set("<>\"'")
    escape(text).encode("utf-8")


def test_markup_is_kept_and_strings_are_escaped() -> None:
    assert (
        el("p", "<b>", el("i", "x"), None, 3, cls="a", hidden=True, title=None)
        == '<p class="a" hidden>&lt;b&gt;<i>x</i>3</p>'
    )
    assert join(["a", Markup("<br>")], " & ") == "a &amp; <br>"
    assert el("circle", cx=1.0, cy=-0.001, r=2.346) == '<circle cx="1" cy="0" r="2.35"></circle>'


def test_control_characters_and_direction_marks_are_replaced() -> None:
    assert clean("a\x00b\u202ec\ud800d\te\nf é 路") == "a\ufffdb\ufffdc\ufffdd\te\nf é 路"
    assert clip("abcdef", 4) == "abc…"


def test_odd_json_reads_as_nothing() -> None:
    node = {"a": {"b": [1, "x", None, math.nan, True]}, "n": 10**400, "m": 12.0, "h": 12.5, "k": -1}
    assert series(node, "a", "b") == [1.0, None, None, None, None]
    assert [number(node, "n"), count(node, "m"), count(node, "h"), count(node, "k")] == [None, 12, None, None]
    assert at(node, "a", "b", "c") is None
    assert rows({"r": [{"x": 1}, 2, None]}, "r") == [{"x": 1}]


def test_policies_keep_their_order_and_style() -> None:
    assert in_order(["zeta", "scrc", "alpha", "softmax"]) == ["softmax", "scrc", "alpha", "zeta"]
    assert style_of(["scrc"])["scrc"] == style_of(["softmax", "gate", "scrc"])["scrc"] == 2


@given(st.text())
def test_markdown_values_stay_on_their_line_and_in_their_cell(text: str) -> None:
    made = table(["a", "b"], [[plain(text), code(text)]])
    assert made.count("\n") == 2
    assert made.splitlines()[2].replace("\\\\", "").replace("\\|", "").count("|") == 3
