"""The planning table: METHODS' power, the size it asks for, and the aim."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import betabinom, binom

from stage1.conformal import certifiable_misses
from stage1.errors import BadConfig
from stage1.policy import aimed_misses, certify_probability, plan, positives_for_power
from stage1.policy.plan_curves import draw, plan_curves


def test_the_published_power():
    chances = [certify_probability(n, 0.01) for n in (500, 1000, 2000)]
    assert chances == pytest.approx([0.44, 0.79, 0.98], abs=0.005)
    assert certify_probability(148, 0.0) == 0
    assert certify_probability(149, 0.0) == 1
    assert certify_probability(0, 0.01) == 0


def test_the_published_aim():
    assert [aimed_misses(n, n) for n in (300, 500, 1000, 2000, 5000)] == [-1, 0, 6, 20, 67]
    assert aimed_misses(0, 500) == -1
    assert aimed_misses(500, 100) == -1


def test_more_test_data_buys_misses():
    allowed = [aimed_misses(1000, n) for n in (500, 1000, 2000, 4000)]
    assert allowed == sorted(allowed)
    assert allowed[0] < allowed[-1]


def test_the_size_asked_for_is_enough_and_so_is_every_larger_one():
    needed = positives_for_power(0.01, 0.8)
    sizes = np.arange(needed, needed + 2000)
    chance = [binom.cdf(certifiable_misses(int(n)), n, 0.01) for n in sizes]
    assert min(chance) >= 0.8
    assert certify_probability(needed - 1, 0.01) < 0.8


def test_what_lies_beyond_the_limit_needs_more_than_there_is():
    assert positives_for_power(0.02, 0.8) == 0
    assert positives_for_power(0.0199, 0.8, most=10_000) == 0
    assert positives_for_power(0.0, 0.99) == 149


def test_rows_are_arithmetic():
    table = plan(positive_share=0.4, coverage=0.75, expected_fnr=0.01, images=(20_000, 5_000), power=0.8)
    small, large = table.rows
    assert (small.images, large.images) == (5_000, 20_000)
    assert (large.test_images, large.test_positives, large.answered_positives) == (2_000, 800, 600)
    assert large.allowed_misses == certifiable_misses(600)
    assert large.certify_probability == certify_probability(600, 0.01)
    assert large.aimed_misses == aimed_misses(600, 600)
    assert table.images_needed == int(np.ceil(positives_for_power(0.01, 0.8) / (0.1 * 0.4 * 0.75) - 1e-9))


def test_fractions_move_the_numbers():
    more = plan(fractions={"train": 0.6, "val_select": 0.1, "val_calib": 0.1, "val_test": 0.2})
    assert more.images_needed < plan().images_needed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive_share": 0}, r"positive_share must lie in \(0, 1\], got 0"),
        ({"power": 1.2}, "power"),
        ({"fractions": {"val_test": 0.1}}, "val_calib and val_test above 0"),
        ({"expected_fnr": -0.1}, r"expected_fnr must lie in \[0, 1\], got -0.1"),
    ],
)
def test_impossible_plans_are_refused(arguments, message):
    with pytest.raises(BadConfig, match=message):
        plan(**arguments)


def curves_of(**changed):
    given = {"positive_share": 0.5, "expected_fnrs": [0.01, 0.002], "fractions": {"val_test": 0.1}, **changed}
    return plan_curves(**given)


def test_curves_are_the_tables_numbers():
    curves = curves_of(images=(1_000, 40_000))
    assert {len(column) for column in curves.values()} == {2 * len(set(curves["images"]))}
    assert (min(curves["images"]), max(curves["images"])) == (1_000, 40_000)
    for fnr, size, answered, allowed, chance in zip(*curves.values(), strict=True):
        assert answered == round(size * 0.05)
        assert allowed == certifiable_misses(answered)
        assert chance == pytest.approx(binom.cdf(allowed, answered, fnr) if answered else 0.0)
    assert curves["expected_fnr"] == [0.01] * len(set(curves["images"])) + [0.002] * len(set(curves["images"]))


def test_a_plot_is_a_picture_and_the_same_each_time(tmp_path):
    for name in ("a.svg", "b.svg", "c.PNG"):
        draw(curves_of(), tmp_path / name, power=0.8, title="a title")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert text == (tmp_path / "b.svg").read_text(encoding="utf-8")
    assert (tmp_path / "c.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_another_kind_is_refused(tmp_path):
    with pytest.raises(BadConfig, match=r"ending in .svg or .png, got .*plot.pdf"):
        draw(curves_of(), tmp_path / "plot.pdf", power=0.8, title="")


@pytest.mark.parametrize("name", ["positive_share", "coverage", "power", "max_fnr"])
def test_a_share_outside_its_range_is_called_by_its_name(name):
    with pytest.raises(BadConfig, match=rf"^{name} must lie in \(0, 1\], got 1\.5\.$"):
        plan(**{name: 1.5})


@pytest.mark.parametrize("expected_fnr", [-0.1, 1.5])
def test_an_expected_rate_outside_its_range_is_refused(expected_fnr):
    with pytest.raises(BadConfig, match=r"^expected_fnr must lie in \[0, 1\]"):
        plan(expected_fnr=expected_fnr)


def test_the_ends_of_the_expected_rate_are_allowed():
    perfect, hopeless = plan(expected_fnr=0.0, images=[3000]), plan(expected_fnr=1.0, images=[3000])
    # 3,000 images: 150 positives in val_test; 149 without a miss certify.
    assert (perfect.rows[0].certify_probability, perfect.images_needed) == (1.0, 2980)
    assert (hopeless.rows[0].certify_probability, hopeless.images_needed) == (0.0, 0)


@pytest.mark.parametrize(("fnr", "confidence"), [(0.005, 0.95), (0.01, 0.9), (0.012, 0.95)])
def test_the_positives_for_power_end_the_last_tooth(fnr, confidence):
    found = positives_for_power(fnr, 0.8, confidence=confidence)

    def chance(positives):
        return certify_probability(positives, fnr, confidence=confidence)

    assert chance(found - 1) < 0.8
    assert min(chance(n) for n in range(found, found + 700)) >= 0.8


def test_what_no_number_of_positives_can_show_needs_none():
    assert positives_for_power(0.02, 0.8) == 0
    assert positives_for_power(0.0199, 0.8, most=4096) == 0
    needed = positives_for_power(0.01, 0.8)
    # The search doubles from 1,024 and answers in the first half, so 4,096 is the first size that can say it.
    assert positives_for_power(0.01, 0.8, most=4096) == needed
    assert positives_for_power(0.01, 0.8, most=1023) == 0


def drawn(monkeypatch, tmp_path, name="plot.svg", **changed):
    """Draw and return the figure as it was when it was written, with the options of the writing."""
    seen = []
    write = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (seen.append((self, k)), write(self, *a, **k))[1])
    draw(curves_of(**changed), tmp_path / name, power=0.7, title="Plan of a plan")
    return seen[0]


def test_a_plot_shows_a_line_for_each_rate_and_the_wanted_chance(monkeypatch, tmp_path):
    figure, _ = drawn(monkeypatch, tmp_path)
    (axes,) = figure.axes
    one, two, wanted = axes.get_lines()
    curves = curves_of()
    half = len(curves["images"]) // 2
    for line, rows, label in ((one, slice(0, half), "true FNR 1.00%"), (two, slice(half, None), "true FNR 0.20%")):
        assert line.get_label() == label
        assert line.get_xdata().tolist() == curves["images"][rows]
        assert line.get_ydata().tolist() == curves["certify_probability"][rows]
    assert list(wanted.get_ydata()) == [0.7, 0.7]
    assert (wanted.get_linestyle(), wanted.get_color()) == (":", "grey")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labelled images", "chance to certify")
    assert axes.get_title() == "Plan of a plan"
    assert axes.get_xscale() == "log"
    assert axes.get_ylim() == (0, 1.02)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["true FNR 1.00%", "true FNR 0.20%"]
    assert figure.get_size_inches().tolist() == [7, 4.2]
    assert figure.get_constrained_layout()


def test_a_plot_holds_no_date(monkeypatch, tmp_path):
    assert drawn(monkeypatch, tmp_path)[1] == {"metadata": {"Date": None}}
    assert "<dc:date>" not in (tmp_path / "plot.svg").read_text(encoding="utf-8")
    monkeypatch.undo()
    assert drawn(monkeypatch, tmp_path, "plot.png")[1] == {"metadata": None}


def test_coverage_and_share_thin_the_curves():
    curves = curves_of(coverage=0.5, positive_share=0.4, images=(2_000, 20_000), expected_fnrs=[0.01])
    assert curves["answered_positives"][0] == 2_000 * 0.1 * 0.4 * 0.5
    assert curves["answered_positives"][-1] == 20_000 * 0.1 * 0.4 * 0.5
    assert len(curves["images"]) == 160


@pytest.mark.parametrize(
    ("calibration", "tested", "limits"),
    [
        (1, 2, {"max_fnr": 0.9, "confidence": 0.6, "pass_probability": 0.1}),
        (2, 3, {"max_fnr": 0.9, "confidence": 0.6, "pass_probability": 0.3}),
        (40, 149, {"pass_probability": 0.01}),
        (300, 200, {"max_fnr": 0.1, "confidence": 0.8}),
        (150, 149, {"pass_probability": 0.3}),
        (50, 60, {"max_fnr": 0.3, "confidence": 0.9, "pass_probability": 0.5}),
        (30, 4000, {"pass_probability": 0.6}),
    ],
)
def test_the_aim_is_the_most_misses_whose_chance_is_enough(calibration, tested, limits):
    allowed = certifiable_misses(tested, limits.get("max_fnr", 0.02), limits.get("confidence", 0.95))
    assert allowed >= 0
    wanted = limits.get("pass_probability", 0.9)
    chances = [betabinom.cdf(allowed, tested, k + 1, calibration - k) for k in range(calibration)]
    expected = next((k for k, chance in enumerate(chances) if chance < wanted), calibration) - 1
    assert aimed_misses(calibration, tested, **limits) == expected


def test_other_limits_and_another_calibration_share_move_the_rows():
    fractions = {"val_calib": 0.3, "val_test": 0.2}
    (row,) = plan(max_fnr=0.05, confidence=0.9, fractions=fractions, positive_share=0.3, images=[7_000]).rows
    assert (row.test_images, row.test_positives, row.answered_positives) == (1_400, 420, 420)
    assert row.allowed_misses == certifiable_misses(420, 0.05, 0.9)
    assert row.certify_probability == certify_probability(420, 0.01, max_fnr=0.05, confidence=0.9)
    assert row.aimed_misses == aimed_misses(630, 420, max_fnr=0.05, confidence=0.9)
    assert row.aimed_misses != aimed_misses(420, 420, max_fnr=0.05, confidence=0.9)


def test_the_wanted_power_moves_the_images_needed():
    found = plan(power=0.95, confidence=0.9, max_fnr=0.03, images=[1_000]).images_needed
    assert found == int(np.ceil(positives_for_power(0.01, 0.95, max_fnr=0.03, confidence=0.9) / 0.05 - 1e-9))
