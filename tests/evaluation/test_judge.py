"""metrics.json: the numbers of the model, slices, worst errors, and that whatever comes it is JSON."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, matthews_corrcoef, roc_auc_score

from stage1.evaluation import EvaluateConfig
from stage1.evaluation.judge import judge, worst_indices
from stage1.metrics import augrc, aurc, eaurc
from tests.evaluation.making import CONFIG, gate, judged, make_rows, simulated, softmax


def text_of(metrics: dict[str, Any]) -> str:
    return json.dumps(metrics, allow_nan=False)


def test_the_model_is_measured_as_scikit_learn_measures_it() -> None:
    rows = simulated(300, noise=5)
    found = judged(rows, softmax())["model"]
    labels, chance = rows.labels_N, 1 / (1 + np.exp(-rows.margin_N))
    expected = {
        "accuracy": float(((rows.margin_N >= 0) == labels).mean()),
        "auroc": roc_auc_score(labels, rows.margin_N),
        "nll": log_loss(labels, chance),
        "brier": brier_score_loss(labels, chance),
        "mcc": matthews_corrcoef(labels, rows.margin_N >= 0),
        "failure_auroc": roc_auc_score(~rows.wrong_N, np.abs(rows.margin_N)),
        "augrc": augrc(np.abs(rows.margin_N), rows.wrong_N),
        "aurc": aurc(np.abs(rows.margin_N), rows.wrong_N),
        "eaurc": eaurc(np.abs(rows.margin_N), rows.wrong_N),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value), name
        assert found[name]["low"] < value < found[name]["high"], name
    for kind in ("ece_top_label", "ece_positive", "ece_top_label_equal_mass", "ece_positive_equal_mass"):
        assert found[kind]["value"] > 3 * found[kind]["expected_if_calibrated"], "noise of 5 is overconfident"
        assert 0 < found[kind]["low"] < found[kind]["high"] < 1


def test_a_calibrated_model_is_as_far_off_as_calibrated_models_are() -> None:
    """Margins of noise s around +2 and -2 have log-odds 4 margin / s^2: with s = 2 they are their own margins."""
    found = judged(simulated(5000, noise=2), softmax())["model"]
    for kind in ("ece_top_label", "ece_positive"):
        assert found[kind]["value"] == pytest.approx(found[kind]["expected_if_calibrated"], rel=0.5)


def test_margins_that_no_softmax_can_tell_apart_still_rank() -> None:
    """exp(-800) is 0 in float64; the margins are compared themselves, and nll stays finite."""
    rows = make_rows([800.0, 900.0, -800.0, 850.0], [1, 1, 0, 0])
    found = judged(rows, softmax())
    assert found["model"]["auroc"]["value"] == 0.75
    assert found["model"]["nll"]["value"] == pytest.approx(850 / 4)
    text_of(found)


def test_a_margin_of_nothing_is_class_1_as_policies_have_it() -> None:
    rows = make_rows([0.0, 0.0], [1, 0])
    assert rows.wrong_N.tolist() == [False, True]
    assert rows.probability_N.tolist() == [0.5, 0.5]


def test_the_document_names_what_it_is_about() -> None:
    rows = simulated(60, group_size=4)
    policies = {"softmax": softmax(), "gate": gate(0.5)}
    found = judge(
        rows, policies, "gate", data_digest="d", model_digest="m", val_test_digest="t", champion=None, config=CONFIG
    )
    assert set(found) == {
        "schema", "split", "data_digest", "model_digest", "val_test_digest", "confidence", "num_images",
        "num_positives", "num_groups", "chosen", "model", "policies", "champion", "slices", "worst",
    }  # fmt: skip
    assert (found["num_images"], found["num_positives"], found["num_groups"]) == (60, int(rows.labels_N.sum()), 15)
    assert (found["chosen"], found["champion"], found["confidence"]) == ("gate", None, 0.95)
    assert set(found["policies"]) == {"softmax", "gate"}
    assert set(found["policies"]["gate"]) == {
        "feasible", "reason", "promise", "coverage", "augrc", "accuracy_answered", "fnr_answered", "fpr_answered",
        "fnr_all", "p_miss", "confusion",
    }  # fmt: skip
    text_of(found)


def test_the_same_seed_gives_the_same_document_and_another_other_intervals() -> None:
    rows = simulated(80)
    first = judged(rows, softmax())
    assert text_of(judged(rows, softmax())) == text_of(first)
    other = judged(rows, softmax(), config=EvaluateConfig(num_resamples=400, seed=1))
    assert other["model"]["nll"]["value"] == first["model"]["nll"]["value"]
    assert other["model"]["nll"]["low"] != first["model"]["nll"]["low"]


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("policy", [softmax(), softmax(None, None), softmax(feasible=False), gate(0.5)])
@pytest.mark.parametrize("count", [1, 2, 30])
def test_one_class_or_nothing_answered_is_null_and_never_nan(label: int, policy: Any, count: int) -> None:
    margins = np.random.default_rng(0).normal(size=count).tolist()
    found = judged(make_rows(margins, [label] * count), policy)
    text_of(found)
    assert found["model"]["auroc"]["value"] is None
    assert found["model"]["mcc"]["value"] is None
    assert found["model"]["accuracy"]["value"] is not None
    rates = found["policies"][policy.name]
    absent = "fpr_answered" if label else "fnr_answered"
    assert (rates[absent]["value"], rates[absent]["upper"]) == (None, 1.0)


def test_slices_are_the_sources_and_the_few_groups_each_judged_alone() -> None:
    rows = simulated(60, group_size=20, noise=3)
    rows = replace(rows, sources_N=np.array(["north"] * 40 + ["south"] * 16 + [""] * 4, dtype=object))
    found = {row["name"]: row for row in judged(rows, softmax())["slices"]}
    assert list(found) == ["source=north", "source=south", "group=drive0", "group=drive1", "group=drive2"]
    north = rows.part(np.arange(60) < 40)
    alone = judged(north, softmax())["policies"]["softmax"]
    assert found["source=north"] == {
        "name": "source=north",
        "images": 40,
        "positives": int(north.labels_N.sum()),
        "coverage": alone["coverage"]["value"],
        "fnr_answered": alone["fnr_answered"],
        "augrc": alone["augrc"],
    }
    assert found["group=drive0"]["augrc"]["low"] is None, "one group has no spread"
    assert found["group=drive0"]["augrc"]["value"] is not None


def test_small_single_and_too_many_slices_are_left_out() -> None:
    rows = replace(simulated(60), sources_N=np.array(["north"] * 57 + ["south"] * 3, dtype=object))
    assert [row["name"] for row in judged(rows, softmax())["slices"]] == ["source=north"]
    assert judged(replace(rows, sources_N=np.array(["north"] * 60, dtype=object)), softmax())["slices"] == []


def test_the_worst_are_the_surest_of_the_wrong() -> None:
    margins = [-0.5, -4.0, 3.0, 2.0, 0.1, 6.0, -7.0]
    labels = [1, 1, 0, 0, 0, 1, 0]
    rows = make_rows(margins, labels, sources=list("abcdefg"))
    misses, alarms = worst_indices(rows, 2)
    assert (misses.tolist(), alarms.tolist()) == ([1, 0], [2, 3])
    found = judged(rows, softmax(), config=EvaluateConfig(num_resamples=100, num_worst=2))["worst"]
    assert [(row["id"], row["kind"], row["answered"], row["label"], row["source"]) for row in found] == [
        ("image1", "miss", True, 1, "b"),
        ("image0", "miss", False, 1, "a"),
        ("image2", "false_alarm", True, 0, "c"),
        ("image3", "false_alarm", True, 0, "d"),
    ]
    assert found[0]["probability"] == pytest.approx(1 / (1 + np.exp(4)))
    assert judged(rows, softmax(), config=EvaluateConfig(num_resamples=100, num_worst=0))["worst"] == []


def test_a_model_without_errors_has_no_worst() -> None:
    found = judged(make_rows([3.0, -3.0] * 20, [1, 0] * 20), softmax())
    assert found["worst"] == []
    assert found["model"]["mcc"]["value"] == 1
    # 40 images without a mistake: with 97.5 % confidence at most this rate, were its mistakes the surest answers
    rate = 1 - 0.025 ** (1 / 40)
    for place in (found["policies"]["softmax"], found["model"]):
        assert place["augrc"] == pytest.approx({"value": 0.0, "low": 0.0, "high": rate - rate**2 / 2})


def test_a_slice_of_ones_own_is_every_image_that_fits_a_pattern_whatever_its_size() -> None:
    rows = simulated(60, group_size=20, noise=3)
    rows = replace(rows, sources_N=np.array(["night-a"] * 3 + ["day"] * 40 + ["night-b"] * 17, dtype=object))
    rules = {
        "night": {"patterns": ["night-*"]},
        "first drives": {"column": "group", "patterns": ["drive0", "drive1"]},
        "snow": {"patterns": ["snow*"]},
    }
    config = EvaluateConfig.model_validate({"num_resamples": 200, "slices": rules})
    table = judged(rows, softmax(), config=config)
    found = {row["name"]: row for row in table["slices"]}
    assert list(found)[:3] == ["night", "first drives", "snow"]
    assert {name: found[name]["images"] for name in rules} == {"night": 20, "first drives": 40, "snow": 0}
    assert "source=night-a" not in found, "3 images are fewer than min_slice"
    assert found["snow"]["coverage"] is None
    assert found["snow"]["fnr_answered"]["upper"] == 1.0
    text_of(table)


def test_of_many_groups_the_20_largest_are_slices() -> None:
    sizes = [40 + number for number in range(25)]
    groups = np.repeat([f"drive{number:02}" for number in range(25)], sizes).astype(object)
    rows = replace(simulated(sum(sizes), noise=3), groups_N=groups)
    config = EvaluateConfig(num_resamples=100)
    names = [row["name"] for row in judged(rows, softmax(), config=config)["slices"]]
    assert names == [f"group=drive{number:02}" for number in range(5, 25)]
