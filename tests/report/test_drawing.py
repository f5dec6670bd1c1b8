"""Scales, ticks, label placing and pictures."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stage1.report.figures.placing import Box, place, sampled, text_width
from stage1.report.figures.reliability import wilson
from stage1.report.pictures import embed
from stage1.report.svg import Scale, round_up, spread, thin
from tests.report import simulated


def test_a_scale_is_linear_and_holds_what_is_beyond() -> None:
    scale = Scale(0, 10, 100, 200)
    assert [scale(value) for value in (0, 2.5, 10, -5, 99)] == [100, 125, 200, 100, 200]


def test_a_bent_scale_spaces_by_square_roots() -> None:
    scale = Scale(0, 1, 0, 100, 0.5)
    assert [scale(value) for value in (0, 0.04, 0.25, 1)] == pytest.approx([0, 20, 50, 100])


@given(st.floats(1e-6, 1e6), st.sampled_from([1.0, 0.5]))
def test_ticks_are_round_ascending_and_within(top: float, bend: float) -> None:
    scale = Scale(0, top, 0, 200, bend)
    ticks = scale.ticks()
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 12
    assert ticks[0] >= 0
    assert ticks[-1] <= top * (1 + 1e-9)


@given(st.floats(1e-9, 1e9))
def test_a_rounded_top_holds_the_value_and_is_near_it(value: float) -> None:
    assert value <= round_up(value) * (1 + 1e-9)
    assert round_up(value) <= 2 * value * (1 + 1e-9)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_labels_are_spread_in_order(wanted: list[float]) -> None:
    placed = spread(wanted, 14, 0, 100)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    heights = [placed[index] for index in order]
    assert all(b - a >= 14 - 1e-6 for a, b in pairwise(heights))
    assert heights[0] >= -1e-9
    assert heights[-1] <= 100 + 1e-9


def test_thinning_keeps_ends_and_extremes() -> None:
    random = np.random.default_rng(0)
    points = list(zip(np.linspace(0, 300, 20_000).tolist(), random.random(20_000).tolist(), strict=True))
    points[7777] = (points[7777][0], 9.0)
    kept = thin(points, 100)
    assert len(kept) <= 4 * 101
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert points[7777] in kept
    assert kept == sorted(kept)


def test_a_label_finds_the_free_side_and_stays_inside() -> None:
    box = Box(0, 300, 0, 200)
    line = sampled([(0, 100), (300, 100)])
    x, y = place("twenty letters wide..", (290, 100), line, box)
    assert 0 <= x <= 300 - text_width("twenty letters wide..")
    assert not any(y - 14 <= py <= y + 6 and x <= px <= x + text_width("twenty letters wide..") for px, py in line)


def test_wilson_agrees_with_its_closed_form_at_the_edges() -> None:
    z2 = 1.96**2
    assert wilson(0.0, 20) == pytest.approx((0.0, z2 / (20 + z2)))
    assert wilson(1.0, 20) == pytest.approx((20 / (20 + z2), 1.0))


def test_a_small_picture_is_kept_as_it_is() -> None:
    content = simulated.thumbnail(0)
    picture = embed(content, max_bytes=len(content), max_side=96)
    assert picture is not None
    assert (picture.width, picture.height) == (96, 96)
    assert simulated.decoded(picture.uri) == content


def test_a_large_picture_is_shrunk_until_it_fits() -> None:
    content = simulated.encoded(np.random.default_rng(0).integers(0, 255, (300, 600, 3), dtype=np.uint8), "PNG")
    picture = embed(content, max_bytes=8000, max_side=200)
    assert picture is not None
    shrunk = simulated.decoded(picture.uri)
    assert len(shrunk) <= 8000
    with Image.open(io.BytesIO(shrunk)) as image:
        assert image.size == (picture.width, picture.height)
        assert image.width == pytest.approx(2 * image.height, abs=2)


@pytest.mark.parametrize("content", [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"<svg onload=alert(1)>"])
def test_what_is_no_picture_is_left_out(content: bytes | None) -> None:
    assert embed(content, max_bytes=1000, max_side=100) is None
