"""Runs that went wrong, values that are missing, names that attack: the page is written and says so."""

import copy
import dataclasses
import math
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stage1.report import Story, model_card, render, verdict_markdown
from tests.report import simulated
from tests.report.html_tree import parse

ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&amp;"


def test_nothing_at_all_is_a_refusal() -> None:
    page = parse(render(Story({}, {}, {}, {}, {})))
    assert "✕REFUSED" in page.text
    assert "No check was recorded." in page.text
    assert "n/a" in page.text


def test_a_refusal_gives_its_reasons() -> None:
    story = simulated.story(t_neg=0.6)
    page = parse(render(story))
    assert "✕REFUSED" in page.text
    assert "1 of 4 checks did not pass." in page.text
    assert story.decision["reasons"][0] in page.text
    assert "✕ refuse" in page.text
    assert "more, without another miss, would do" in page.text


def test_a_decision_that_contradicts_its_checks_is_a_refusal() -> None:
    story = simulated.story(t_neg=0.6)
    page = parse(render(dataclasses.replace(story, decision={**story.decision, "promote": True})))
    assert "✕REFUSED" in page.text
    assert "The decision says promote, but these checks do not pass: FNR answered." in page.text


@pytest.mark.parametrize("promote", ["true", 1, None])
def test_only_true_promotes(promote: object) -> None:
    story = simulated.story()
    page = parse(render(dataclasses.replace(story, decision={**story.decision, "promote": promote})))
    assert "REFUSED" in page.text


def test_no_champion_is_said() -> None:
    assert "No champion: first promotion of this channel." in parse(render(simulated.story(with_champion=False))).text


def test_a_champion_without_its_comparison_is_not_called_a_first_promotion() -> None:
    story = simulated.story(with_champion=False)
    decision = {**story.decision, "champion": {"digest": "ab", "sequence": 3}}
    page = parse(render(dataclasses.replace(story, decision=decision)))
    assert "first promotion" not in page.text
    assert "the channel has a champion, but its metrics are not here" in page.text


def test_nothing_answered_says_why_there_is_no_rate() -> None:
    story = simulated.story()
    metrics = copy.deepcopy(story.metrics)
    d, labels = simulated.scores()
    metrics["policies"]["softmax"] = simulated.policy(d, labels, -99.0, 99.0, np.abs(d))[0]
    page = parse(render(dataclasses.replace(story, metrics=metrics, decision=simulated.decide(metrics))))
    assert "REFUSED" in page.text
    assert "no answered positives" in page.text
    assert {"it could not be computed"} <= {span.get("title") for span in page.having("span")}


def test_an_infeasible_policy_says_so() -> None:
    story = simulated.story()
    metrics = copy.deepcopy(story.metrics)
    metrics["policies"]["scrc"] = {"feasible": False, "reason": "needs 7,000 images, got 4,000", "promise": "none"}
    page = parse(render(dataclasses.replace(story, metrics=metrics)))
    assert "Infeasible, so it defers everything: needs 7,000 images, got 4,000" in page.text
    assert "the policy is infeasible" in page.text


def test_one_class_only_has_no_ranking_and_no_trade() -> None:
    story = simulated.story()
    metrics, curves = copy.deepcopy(story.metrics), copy.deepcopy(story.curves)
    metrics["model"]["auroc"] = {"value": None, "low": None, "high": None}
    metrics["num_positives"] = 0
    curves["roc"] = {"fpr": [], "tpr": [], "threshold": []}
    page = parse(render(dataclasses.replace(story, metrics=metrics, curves=curves)))
    assert "figure-trade" not in page.ids
    assert "figure-reliability" in page.ids


def test_many_reasons_are_cut_to_two_and_counted() -> None:
    story = simulated.story(t_neg=0.6)
    decision = {**story.decision, "reasons": ["First.", "second;", "third", "fourth"]}
    page = parse(render(dataclasses.replace(story, decision=decision)))
    assert "First; second; and 2 more reasons, listed with the checks." in page.text


def test_without_a_judged_limit_the_fitted_one_is_drawn() -> None:
    story = simulated.story()
    checks = [{**check, "limit": None} for check in story.decision["checks"]]
    policies = {"softmax": {"constraint": {"max_fnr": 0.035}}}
    decision = {**story.decision, "checks": checks}
    page = parse(render(dataclasses.replace(story, decision=decision, policies=policies)))
    assert "limit 3.5%" in page.text
    assert "no limit recorded" in parse(render(dataclasses.replace(story, decision=decision))).text


def test_the_trade_falls_even_where_several_thresholds_share_a_false_positive_rate() -> None:
    story = simulated.story()
    roc = {
        "fpr": [0.0, 0.0, 0.0, 0.1, 0.1, 1.0],
        "tpr": [0.1, 0.5, 0.9, 0.92, 0.97, 1.0],
        "threshold": [6, 5, 4, 3, 2, 1],
    }
    html = render(dataclasses.replace(story, curves={**story.curves, "roc": roc}))
    figure = html[html.index('id="figure-trade"') :].split("</svg>")[0]
    path = re.findall(r'<path d="M([^"]*)" class="line s0"', figure)[0]
    heights = [float(point.split()[1]) for point in path.split("L")]
    assert len(heights) == 6
    assert heights == sorted(heights), "misses rise again: y grows downwards"


def test_no_training_history_is_said() -> None:
    story = dataclasses.replace(
        simulated.story(), history=None, pretrain=None, reconstructions_png=None, agreement=None
    )
    page = parse(render(story))
    assert "Training history: n/a (not given to this report)" in page.text
    assert "Nothing was pre-trained" in page.text
    assert "agreement was not recorded" in page.text


def test_a_broken_thumbnail_is_replaced_by_words() -> None:
    story = simulated.story()
    first = story.metrics["worst"][0]["id"]
    page = parse(render(dataclasses.replace(story, thumbnails={**story.thumbnails, first: b"\xff\xd8\xff broken"})))
    assert page.text.count("no thumbnail") == 1


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside nested dictionaries, and of the first items of lists."""
    if path:
        yield path
    children = node.items() if isinstance(node, dict) else enumerate(node[:3]) if isinstance(node, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def planted(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy in which the value at the path is another; what is not on the path is shared."""
    changed = dict(node) if isinstance(node, dict) else list(node)
    changed[path[0]] = value if len(path) == 1 else planted(node[path[0]], path[1:], value)
    return changed


PARTS = ("split", "metrics", "curves", "decision", "history", "pretrain", "agreement", "provenance", "policies")
WHOLE = dataclasses.replace(simulated.story(), thumbnails={}, reconstructions_png=None)
PLACES = [(part, *path) for part in PARTS for path in places(getattr(WHOLE, part))]
ODD = (
    None,
    math.nan,
    math.inf,
    -1,
    0,
    1e300,
    10**400,
    True,
    "",
    ATTACK,
    [],
    {},
    [None],
    [ATTACK],
    {"a": None},
    "\ud800\x00\u202e",
)


def changed(spots: list[tuple[tuple[Any, ...], Any]]) -> Story:
    story = WHOLE
    for (part, *path), value in spots:
        story = dataclasses.replace(story, **{part: planted(getattr(WHOLE, part), tuple(path), value)})
    return story


def test_every_value_may_be_none() -> None:
    spots = random.Random(0).sample([spot for spot in PLACES if len(spot) <= 5], 40)
    for spot in spots:
        parse(render(changed([(spot, None)])))


def test_all_numbers_may_be_none_at_once() -> None:
    def emptied(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: emptied(value) for key, value in node.items()}
        if isinstance(node, list):
            return [emptied(value) for value in node]
        return node if isinstance(node, str) else None

    story = Story(**{part: emptied(getattr(WHOLE, part)) for part in PARTS})
    page = parse(render(story))
    assert "REFUSED" in page.text
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_whatever_stands_in_the_files_gives_a_harmless_page(spots: list[tuple[tuple[Any, ...], Any]]) -> None:
    story = changed(spots)
    html = render(story)
    page = parse(html)
    html.encode("utf-8")
    assert page.tags.isdisjoint({"script", "iframe", "object"})
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    card = model_card(
        metrics=story.metrics,
        decision=story.decision,
        split=story.split,
        provenance=story.provenance,
        name="a",
        version="1",
        licence="MIT",
    )
    for text in (card, verdict_markdown(story.decision, story.metrics)):
        text.encode("utf-8")
        assert "<script" not in text.replace("\\<", "")


def test_names_from_users_are_shown_as_text() -> None:
    story = simulated.story()
    metrics, split = copy.deepcopy(story.metrics), copy.deepcopy(story.split)
    metrics["worst"][0] |= {"id": ATTACK, "group": ATTACK, "source": ATTACK}
    metrics["slices"][0]["name"] = ATTACK
    metrics["policies"][ATTACK] = metrics["policies"]["scrc"]
    split["skipped"][0] = {"path": ATTACK, "reason": ATTACK}
    split["data"] = ATTACK
    story = dataclasses.replace(
        story,
        metrics=metrics,
        split=split,
        title=ATTACK,
        provenance={"config": {ATTACK: ATTACK}},
        thumbnails={ATTACK: simulated.thumbnail(1)},
    )
    page = parse(render(story))
    assert "script" not in page.tags
    assert page.text.count(ATTACK) >= 7


def test_a_huge_run_stays_under_five_megabytes() -> None:
    story = simulated.story()
    metrics, split = copy.deepcopy(story.metrics), copy.deepcopy(story.split)
    noise = np.random.default_rng(0)
    metrics["worst"] = [
        dict(metrics["worst"][0], id=f"{kind}-{n}", kind=kind) for kind in ("miss", "false_alarm") for n in range(500)
    ]
    metrics["slices"] = [dict(metrics["slices"][0], name="group " * 100 + str(n)) for n in range(5000)]
    split["skipped"] = [{"path": "p" * 5000, "reason": "r" * 5000}] * 5000
    big = simulated.encoded(noise.integers(0, 255, (260, 260, 3), dtype=np.uint8), "JPEG")
    long = {"coverage": np.linspace(0, 1, 100_000).tolist()}
    for key in ("selective_risk", "generalized_risk", "low", "high"):
        long[key] = noise.random(100_000).tolist()
    story = dataclasses.replace(
        story,
        metrics=metrics,
        split=split,
        curves={**story.curves, "policies": {"softmax": {"risk_coverage": long}}},
        thumbnails={row["id"]: big for row in metrics["worst"]},
        reconstructions_png=simulated.encoded(noise.integers(0, 255, (600, 1000, 3), dtype=np.uint8), "PNG"),
        provenance={"config": {f"key{n}": "v" * 10_000 for n in range(5000)}},
    )
    html = render(story)
    page = parse(html)
    assert len(html.encode()) < 5_000_000
    assert len(page.having("img")) == 2 * 24 + 1
    assert "476 more are listed in metrics.json." in page.text
