"""The whole page of a realistic run: structure, order, what it must say, and what it must not contain."""

import dataclasses
import re

import pytest

from stage1.report import Story, render
from tests.report import simulated
from tests.report.html_tree import Page, parse

FIGURES = {
    "gauge-fnr",
    "gauge-coverage",
    "gauge-augrc",
    "figure-misses",
    "figure-selective-risk",
    "figure-generalized-risk",
    "figure-thresholds",
    "figure-reliability",
    "figure-trade",
    "figure-outcome",
    "figure-loss",
    "figure-augrc",
    "figure-pretraining",
    "figure-difference",
}
SECTIONS = [
    "verdict",
    "checks",
    "policies",
    "meaning",
    "ranking",
    "calibration",
    "outcomes",
    "slices",
    "errors",
    "training",
    "data",
    "champion",
    "provenance",
]


@pytest.fixture(scope="module")
def story() -> Story:
    return simulated.story()


@pytest.fixture(scope="module")
def html(story: Story) -> str:
    return render(story)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return parse(html)


def test_the_verdict_comes_first_and_the_parts_follow_in_their_order(page: Page) -> None:
    sections = [attributes["id"] for attributes in page.having("section")]
    assert sections == SECTIONS


def test_every_figure_is_there_with_a_title_and_a_description(page: Page) -> None:
    drawings = page.having("svg")
    assert {str(svg["id"]) for svg in drawings} == FIGURES
    for svg in drawings:
        assert svg["role"] == "img"
        assert {svg["aria-labelledby"], svg["aria-describedby"]} <= set(page.ids)


def test_nothing_is_loaded_and_nothing_runs(html: str, page: Page) -> None:
    assert page.tags.isdisjoint(
        {"script", "iframe", "object", "embed", "form", "base", "audio", "video", "image", "use"}
    )
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes
        for name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/", "data:,")), (tag, attributes)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"base64,[^\"]*", "", html))
    policy = page.having("meta")[1]["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_it_is_small_and_the_same_every_time(story: Story, html: str) -> None:
    assert len(html.encode()) < 1_000_000
    assert render(story) == html


def test_every_link_leads_to_a_part_of_the_page(page: Page) -> None:
    targets = [str(link["href"]) for link in page.having("a")]
    assert targets == [f"#{name}" for name in SECTIONS[1:]]


def test_tables_have_captions_headers_and_scroll_by_keyboard(page: Page) -> None:
    assert len(page.having("caption")) == len(page.having("table"))
    assert all(header.get("scope") in {"row", "col"} for header in page.having("th"))
    regions = [attributes for attributes in page.having("div") if attributes.get("class") == "scroll"]
    assert len(regions) >= len(page.having("table"))
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_landmarks_and_language_are_set(page: Page) -> None:
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(page.having(landmark)) == 1
    assert page.having("html")[0]["lang"] == "en"


def test_the_large_figures_are_those_of_the_chosen_policy(story: Story, page: Page) -> None:
    rate = story.metrics["policies"]["softmax"]["fnr_answered"]
    assert f"≤ {100 * rate['upper']:.2f}%" in page.text
    assert f"{rate['misses']} misses in {rate['positives']:,} answered positives" in page.text
    coverage = story.metrics["policies"]["softmax"]["coverage"]["value"]
    assert f"{100 * coverage:.1f}%" in page.text


def test_the_verdict_is_told_in_words_not_by_colour_alone(page: Page) -> None:
    assert "✓PROMOTED" in page.text
    assert f"All {page.text.count('✓ pass')} checks passed." in page.text
    assert "REFUSED" not in page.text


def test_every_promise_and_the_note_on_platt_stand_there(story: Story, page: Page) -> None:
    for policy in story.metrics["policies"].values():
        assert policy["promise"] in page.text
    assert "it cannot change AUGRC" in page.text
    assert page.text.count("chosen") >= 3


def test_a_negative_platt_slope_is_called_a_finding() -> None:
    story = simulated.story()
    page = parse(render(dataclasses.replace(story, policies={**story.policies, "gate": {"platt": {"slope": -0.4}}})))
    assert "That is a finding about the gate" in page.text
    assert "it cannot change AUGRC" not in page.text


def test_errors_show_picture_id_and_probability(story: Story, page: Page) -> None:
    pictures = [image for image in page.having("img") if str(image["src"]).startswith("data:image/jpeg")]
    assert len(pictures) == len(story.thumbnails) == 14
    for row in story.metrics["worst"]:
        assert row["id"] in page.text
    assert all(image["alt"] for image in page.having("img"))


def test_certification_margin_is_the_number_of_positives_that_so_many_misses_need(story: Story, page: Page) -> None:
    from stage1.conformal import positives_needed

    rate = story.metrics["policies"]["softmax"]["fnr_answered"]
    needed = positives_needed(0.02, rate["misses"], 0.95)
    assert f"{needed:,} are needed: {rate['positives'] - needed:,} to spare" in page.text


def test_curves_differ_in_dash_and_marker_and_are_labelled_at_their_ends(html: str) -> None:
    figure = html[html.index('id="figure-selective-risk"') :].split("</svg>")[0]
    for style, name in ((0, "Softmax"), (1, "Gate"), (2, "SCRC")):
        assert f'class="line s{style}"' in figure
        assert f'class="band s{style}"' in figure
        assert f'class="label s{style}">{name}</text>' in figure
    dashes = re.findall(r"\.line\.s\d \{ stroke-dasharray: ([^;]+);", html)
    assert len(set(dashes)) == 3


def test_the_data_section_says_what_looks_alike_and_what_only_trains() -> None:
    text = " ".join(re.sub("<[^>]*>", "", render(simulated.story())).split())
    assert "9 pairs of different groups within 4 bits of perceptual hash, 3 of them in two splits" in text
    assert "1,200 generated and 350 unlabelled images; they never calibrate or test" in text
