import copy
import hashlib
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stage1.errors import BadArtifact
from stage1.promotion import CHECKS, Champion, Check, Decision, GateConfig, gate
from stage1.promotion.decision import keeps
from tests.promotion.candidates import CHAMPION, TEST, Candidate, pointer

YES = gate(Candidate().metrics(), GateConfig(), pointer())
NO = gate(Candidate(fn=60).metrics(), GateConfig(), pointer(), look=2)


def document(decision: Decision = YES) -> dict[str, Any]:
    return copy.deepcopy(decision.to_json())


def test_the_schema_is_a_schema() -> None:
    text = resources.files("stage1.promotion").joinpath("schemas", "decision.schema.json").read_text()
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("decision", [YES, NO])
def test_a_decision_survives_json(decision: Decision) -> None:
    text = json.dumps(decision.to_json(), allow_nan=False)
    assert Decision.from_json(json.loads(text)) == decision


def test_json_says_what_the_decision_says() -> None:
    yes, no = document(YES), document(NO)
    assert (yes["promote"], no["promote"]) == (True, False)
    assert (yes["reasons"], len(no["reasons"])) == ([], 1)
    assert "60 misses" in no["reasons"][0]
    assert no["look"] == {"val_test_digest": TEST, "number": 2}
    assert yes["champion"] == {"digest": CHAMPION, "sequence": 3}
    assert len(no["warnings"]) == 1


def test_the_evaluation_is_named_by_the_bytes_of_its_file() -> None:
    metrics = Candidate().metrics()
    metrics["slices"] = [{"name": "source=Größe"}]
    written = (json.dumps(metrics, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    decision = gate(metrics, GateConfig(), pointer())
    assert decision.evaluation_digest == hashlib.sha256(written).hexdigest()
    assert YES.evaluation_digest != decision.evaluation_digest
    assert NO.evaluation_digest != YES.evaluation_digest
    metrics["extra"] = float("nan")
    assert gate(metrics, GateConfig(), pointer()).evaluation_digest is None


def test_a_decision_without_all_checks_is_no_promotion() -> None:
    def decision(*checks: Check) -> Decision:
        return Decision(checks, (), "softmax", 1, TEST, Champion(CHAMPION, 3), TEST, TEST, TEST)

    assert decision(*YES.checks).promote
    assert not decision().promote
    assert not decision(*YES.checks[1:]).promote
    assert not decision(*YES.checks, YES.checks[0]).promote
    assert not decision(*reversed(YES.checks)).promote


def change(path: str, value: Any, decision: Decision = YES) -> dict[str, Any]:
    changed = document(decision)
    part: Any = changed
    *parents, last = path.split(".")
    for parent in parents:
        part = part[int(parent)] if parent.isdigit() else part[parent]
    part[last] = value
    return changed


FNR = CHECKS.index("fnr_answered")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        change("schema", "stage1/decision/v2"),
        change("promote", "yes"),
        change("promote", False),
        change("promote", True, NO),
        change("extra", 1),
        change("checks", []),
        change("checks", document()["checks"][:-1]),
        change("reasons", ["a reason"]),
        change("reasons", [], NO),
        change(f"checks.{FNR}.verdict", "refuse"),
        change(f"checks.{FNR}.verdict", "pass", NO),
        change(f"checks.{FNR}.verdict", "maybe"),
        change(f"checks.{FNR}.bound", 0.5),
        change(f"checks.{FNR}.bound", None),
        change(f"checks.{FNR}.limit", 0.001),
        change(f"checks.{FNR}.comparison", ">="),
        change(f"checks.{FNR}.comparison", None),
        change(f"checks.{FNR}.reason", ""),
        change("champion.digest", "x"),
        change("champion.sequence", 0),
        change("data_digest", "x"),
        change("look.number", 1.5),
    ],
)
def test_a_decision_that_contradicts_itself_or_its_schema_is_not_read(wrong: Any) -> None:
    with pytest.raises(BadArtifact, match=r"decision\.json"):
        Decision.from_json(wrong)


def test_a_changed_verdict_is_told_apart_from_a_broken_document() -> None:
    with pytest.raises(BadArtifact) as told:
        Decision.from_json(change("promote", False))
    assert str(told.value) == (
        "decision.json contradicts itself: its checks give another decision. Run the gate again."
    )


@pytest.mark.parametrize("missing", ["bound", "limit", "comparison"])
def test_a_check_without_its_numbers_keeps_nothing(missing: str) -> None:
    check = YES.checks[FNR]
    assert keeps(check)
    assert not keeps(replace(check, **{missing: None}))
