"""Artifacts: exact round trips, schemas that are the code's, wrong files named, and what a consumer must install."""

import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from stage1.errors import BadArtifact, BadConfig, BadData
from stage1.policy import (
    POLICIES,
    POLICY_FILES,
    CalibrateConfig,
    Constraint,
    Predictions,
    choose,
    coverage,
    dumps,
    fit_all,
    load_policy,
    write_policy,
)
from stage1.policy.base import gate_scores
from tests.policy.scenes import scenes

NAMES = ["softmax", "gate", "scrc"]


@pytest.fixture(scope="module")
def fitted():
    return fit_all(scenes(3000, 0), CalibrateConfig())


@pytest.fixture(scope="module")
def refused():
    return fit_all(scenes(100, 0), CalibrateConfig())


def test_the_files_keep_their_names():
    assert POLICY_FILES == {
        "softmax": "softmax/thresholds.json",
        "gate": "gate/gateparams.json",
        "scrc": "scrc/scrcparams.json",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_round_trip_is_exact(fitted, refused, name, tmp_path):
    fresh = scenes(2000, 7)
    for policy in (fitted[name], refused[name]):
        back = load_policy(write_policy(policy, tmp_path))
        assert back == policy
        assert dumps(back) == dumps(policy)
        ours, theirs = policy.decide(fresh.logits, fresh.gate), back.decide(fresh.logits, fresh.gate)
        for field in ("answered", "label", "probability", "set"):
            assert np.array_equal(getattr(ours, field), getattr(theirs, field))
    assert fitted[name].feasible
    assert not refused[name].feasible


@pytest.mark.parametrize("name", NAMES)
def test_the_package_holds_the_schema_that_the_code_means(name):
    kind = POLICIES[name]
    text = files("stage1.policy").joinpath("schemas", kind.schema_file()).read_text(encoding="utf-8")
    assert json.loads(text) == kind.json_schema()  # regenerate: see stage1.policy.base.ExitPolicy.json_schema
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_ends_in_a_newline_and_is_sorted(fitted, name):
    text = dumps(fitted[name])
    assert text.endswith("}\n")
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "stage1/thresholds/v2"}, "schema must be one of stage1/thresholds/v1"),
        ({"negative_below": "low"}, "negative_below"),
        ({"extra": 1}, "extra"),
        ({"constraint": {"max_fnr": 2}}, "constraint/max_fnr"),
        ({"feasible": "yes"}, "feasible"),
    ],
)
def test_a_wrong_field_is_named(fitted, change, message):
    with pytest.raises(BadArtifact, match=message):
        load_policy({**fitted["softmax"].to_json(), **change})


@pytest.mark.parametrize("field", ["negative_below", "promise", "evidence"])
def test_a_missing_field_is_named(fitted, field):
    data = fitted["softmax"].to_json()
    del data[field]
    with pytest.raises(BadArtifact, match=field):
        load_policy(data)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(BadArtifact, match="cannot be read"):
        load_policy(tmp_path / "none.json")
    for text, message in (("{", "is not JSON"), ("[]", "needs a JSON object, got list")):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(BadArtifact, match=message):
            load_policy(tmp_path / "p.json")


@pytest.mark.parametrize("name", NAMES)
def test_one_image_and_many_get_the_same_answer(fitted, name):
    rows, policy = scenes(200, 5), fitted[name]
    whole = policy.decide(rows.logits, rows.gate)
    for i in range(0, 200, 20):
        alone = policy.decide(rows.logits[i : i + 1], rows.gate[i : i + 1])
        assert (alone.answered[0], alone.label[0]) == (whole.answered[i], whole.label[i])
        assert alone.probability[0] == pytest.approx(whole.probability[i], abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_float32_logits_decide_as_in_float64(fitted, name):
    rows, policy = scenes(2000, 6), fitted[name]
    logits, gate = rows.logits.astype(np.float32), rows.gate.astype(np.float32)
    narrow, wide = policy.decide(logits, gate), policy.decide(logits.astype(np.float64), gate.astype(np.float64))
    assert np.array_equal(narrow.answered, wide.answered)
    assert np.array_equal(narrow.label, wide.label)
    assert np.array_equal(narrow.probability, wide.probability)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_finite_are_deferred(fitted, name):
    bad = [[np.nan, 9.0], [0.0, np.inf], [-np.inf, np.inf]]
    decisions = fitted[name].decide(bad, [9.0] * 3)
    assert not decisions.answered.any()
    assert np.isnan(decisions.probability).all()
    assert decisions.set.sum(axis=1).tolist() != [1, 1, 1]
    if name != "softmax":
        assert not fitted[name].decide([[0.0, 9.0]] * 2, [np.nan, np.inf]).answered.any()


@pytest.mark.parametrize("name", NAMES)
def test_no_images_give_no_decisions(fitted, name):
    assert len(fitted[name].decide(np.zeros((0, 2)), np.zeros(0)).answered) == 0
    with pytest.raises(BadData, match=r"shape \(N, 2\), got \(2,\)"):
        fitted[name].decide([1.0, 2.0], [1.0])


@pytest.mark.parametrize("name", NAMES)
def test_deferred_images_never_have_exactly_one_class(fitted, name):
    rows = scenes(2000, 8)
    decisions = fitted[name].decide(rows.logits, rows.gate)
    single = decisions.set.sum(axis=1) == 1
    assert np.array_equal(single, decisions.answered)
    assert np.array_equal(decisions.set[single].argmax(axis=1), decisions.label[single])


def test_best_is_the_highest_coverage_that_holds(fitted, refused):
    rows = scenes(3000, 0)
    shares = {name: coverage(policy, rows) for name, policy in fitted.items()}
    assert choose(fitted, rows, "best") == max(shares, key=shares.get)
    assert choose(fitted, rows, "scrc") == "scrc"
    assert choose(refused, rows, "best") == "softmax"
    mixed = {"softmax": refused["softmax"], "gate": fitted["gate"]}
    assert choose(mixed, rows, "best") == "gate"
    assert coverage(refused["gate"], rows) == 0
    assert coverage(fitted["gate"], Predictions(np.zeros((0, 2)), [], [])) == 0


def test_an_unknown_choice_is_refused(fitted):
    with pytest.raises(BadConfig, match="softmax, gate, scrc or best, got 'worst'"):
        choose(fitted, scenes(10, 0), "worst")
    with pytest.raises(BadConfig, match="no policy to choose from"):
        choose({}, scenes(10, 0), "best")


@pytest.mark.parametrize(("field", "value"), [("max_fnr", 0), ("max_fpr", 1), ("confidence", 1.5), ("max_frn", 0.1)])
def test_an_impossible_constraint_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Constraint(**{field: value})


def test_deciding_needs_neither_scipy_nor_sklearn_nor_torch(fitted, tmp_path):
    paths = [str(write_policy(fitted[name], tmp_path)) for name in NAMES]
    program = """
import sys
from stage1.policy import load_policy
for path in sys.argv[1:]:
    decisions = load_policy(path).decide([[0.0, 30.0], [30.0, 0.0]], [9.0, 9.0])
    assert decisions.answered.all() and decisions.label.tolist() == [1, 0], decisions
heavy = {"scipy", "sklearn", "torch", "pyarrow", "pandas", "matplotlib"} & {name.split(".")[0] for name in sys.modules}
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_schema_is_told_with_the_known_ones():
    with pytest.raises(BadArtifact) as told:
        load_policy({"schema": "stage1/thresholds/v0"})
    known = [kind.model_fields["schema_id"].default for kind in POLICIES.values()]
    assert str(told.value) == f"schema must be one of {', '.join(known)}; got 'stage1/thresholds/v0'."


def test_the_first_wrong_field_is_named_by_its_path_and_a_missing_one_by_the_file():
    kind = POLICIES["softmax"]
    with pytest.raises(BadArtifact, match=rf"^{kind.file}: the file: "):
        kind.from_json({})
    with pytest.raises(BadArtifact, match=rf"^{kind.file}: the file: "):
        kind.from_json({"positive_from": "high", "evidence": 3})


def test_a_file_keeps_letters_as_they_are_and_makes_its_folders(fitted, tmp_path):
    policy = fitted["softmax"].model_copy(update={"findings": ("größer als gedacht",)})
    path = write_policy(policy, tmp_path / "not" / "there" / "yet")
    assert "größer als gedacht".encode() in path.read_bytes()
    assert load_policy(path) == policy


def test_a_number_that_json_lacks_is_refused(fitted, monkeypatch):
    policy = fitted["softmax"]
    data = {**policy.to_json(), "negative_below": float("inf")}
    monkeypatch.setattr(type(policy), "to_json", lambda _: data)
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps(policy)


@pytest.mark.parametrize("name", NAMES)
def test_rows_beyond_one_block_get_the_answers_they_get_alone(fitted, name, monkeypatch):
    rows, policy = scenes(1000, 7), fitted[name]
    whole = policy.decide(rows.logits, rows.gate)
    monkeypatch.setattr("stage1.policy.base.BLOCK", 64)
    blocks = policy.decide(rows.logits, rows.gate)
    for column in ("answered", "label", "set"):
        assert np.array_equal(getattr(blocks, column), getattr(whole, column))
    assert np.allclose(blocks.probability, whole.probability, rtol=0, atol=1e-15)
    assert (whole.label.dtype, whole.probability.dtype) == (np.int8, np.float64)


@pytest.mark.parametrize("gate", [np.float32([1.5, 0.1]), np.array([1, 0]), np.float64([1.5, 0.1])])
def test_gate_logits_keep_float32_and_become_float64_otherwise(gate):
    found = gate_scores(gate, 2)
    assert found.dtype == (np.float32 if gate.dtype == np.float32 else np.float64)
    assert found.tolist() == gate.tolist()
