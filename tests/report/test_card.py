"""The model card and the verdict for the Kubeflow UI."""

import json
import re
from pathlib import Path

import pytest

from stage1.report import model_card, verdict_markdown
from tests.report import simulated


def card(**changes: str) -> str:
    story = simulated.story()
    fields = {"name": "roadwork", "version": "7-0a1b2c", "licence": "Apache-2.0", **changes}
    return model_card(
        metrics=story.metrics, decision=story.decision, split=story.split, provenance=story.provenance, **fields
    )


def test_front_matter_is_yaml_with_the_licence() -> None:
    yaml = pytest.importorskip("yaml")
    front = card(licence='odd: "licence" # text').split("---\n")[1]
    fields = yaml.safe_load(front)
    assert fields["license"] == 'odd: "licence" # text'
    assert fields["library_name"] == "stage1"


def test_the_parts_stand_in_their_order() -> None:
    assert re.findall(r"^## (.*)", card(), re.MULTILINE) == [
        "Verdict",
        "Numbers on val_test",
        "What is promised",
        "How to load it",
        "Data",
        "Limits",
        "Licence of the weights",
        "Provenance",
    ]


def test_numbers_stand_with_their_bounds() -> None:
    story = simulated.story()
    rate = story.metrics["policies"]["softmax"]["fnr_answered"]
    assert f"| FNR among answered | {100 * rate['value']:.2f}% | ≤ {100 * rate['upper']:.2f}% (limit 2%) |" in card()
    assert story.metrics["policies"]["softmax"]["promise"].replace("<", r"\<") in card()


def test_it_says_how_to_load_and_what_it_is_not_for() -> None:
    text = card()
    for words in ("pip install stage1", "stage1 decide", "Bundle.load(", "**Not for.**", "**Intended use.**"):
        assert words in text


def test_the_loading_example_names_what_the_consumer_has() -> None:
    from stage1.bundle import Answer, Bundle

    assert {"answer", "label", "probability"} <= set(Answer.__dataclass_fields__)
    assert callable(Bundle.load)
    assert callable(Bundle.decide)


def test_the_verdict_names_every_check_and_policy() -> None:
    story = simulated.story(t_neg=0.6)
    text = verdict_markdown(story.decision, story.metrics)
    assert text.startswith("# REFUSED\n")
    assert text.count("✓ pass") == 3
    assert text.count("✕ refuse") == 1
    assert "| Softmax (chosen) |" in text
    assert "- Warning: " in text


def test_the_verdict_says_what_it_is_about_and_nothing_of_it_breaks_the_table() -> None:
    text = verdict_markdown({}, {}, {"Channel": "prod|`x`", "Commit": "", "Data": "d1"})
    assert text.endswith("| Of |  |\n| --- | --- |\n| Channel | `prod/'x'` |\n| Data | `d1` |\n")


def test_the_verdict_of_nothing_is_a_refusal() -> None:
    assert verdict_markdown({}, {}) == "# REFUSED\n\n" + 2 * "No check was recorded.\n\n" + "No policy was evaluated.\n"


def test_the_fixture_is_json_as_steps_write_it(tmp_path: Path) -> None:
    story = simulated.story()
    for part in (story.split, story.metrics, story.curves, story.decision, story.history):
        assert json.loads(json.dumps(part, allow_nan=False)) == part
