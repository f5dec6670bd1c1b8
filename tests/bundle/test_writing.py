"""Writing a bundle."""

import dataclasses
import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stage1.bundle import BundleRejected, verify, write_bundle
from stage1.bundle.documents import SCHEMAS, schema_bytes
from stage1.bundle.manifest import POLICIES
from stage1.errors import BadArtifact, BadInput, PromotionRefused
from stage1.policy import POLICY_FILES
from stage1.promotion import GateConfig, gate
from tests.bundle.making import CLASSES, Maker, decision, expected_logits
from tests.promotion.candidates import MODEL, Candidate, pointer


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_manifest_has_the_digest_and_size_of_every_other_file(make: Maker) -> None:
    folder = make.path()
    written = contents(folder)
    manifest = json.loads(written.pop("bundle.json"))
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in written.items()
    }


def test_the_digest_is_that_of_the_manifest_without_it(make: Maker) -> None:
    folder = make.path()
    document = json.loads((folder / "bundle.json").read_bytes())
    digest = document.pop("digest")
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    assert digest == hashlib.sha256(text.encode()).hexdigest() == verify(folder).digest


def test_the_same_inputs_give_the_same_bytes(make: Maker) -> None:
    assert contents(make.path()) == contents(make.path())
    assert make().digest != make(sequence=2).digest


def test_what_was_given_is_in_it(make: Maker) -> None:
    arguments = make.arguments(model_card="# Größe\n", version="1.0+x", sequence=12)
    manifest = write_bundle(make.folder / "out", **arguments).manifest
    assert (manifest.name, manifest.version, manifest.sequence, manifest.classes) == ("colours", "1.0+x", 12, CLASSES)
    assert manifest.decision == arguments["decision"]
    assert manifest.provenance == arguments["provenance"]
    assert manifest.preprocessing == arguments["preprocessing"].to_json()
    out = make.folder / "out"
    assert (out / "README.md").read_text(encoding="utf-8") == "# Größe\n"
    for name in ("model.onnx", "thresholds.json", "model.safetensors"):
        source = arguments["model"].parent / name
        assert (out / name).read_bytes() == source.read_bytes()


def test_canaries_record_the_policys_answers(make: Maker) -> None:
    document = json.loads((make.path() / "canaries.json").read_bytes())
    assert [(c["file"], c["answer"], c["label"]) for c in document["canaries"]] == [
        ("canaries/0.png", "exit", "roadwork"),
        ("canaries/1.png", "exit", "nothing"),
        ("canaries/2.png", "defer", None),
    ]


def test_the_schemas_inside_are_those_that_it_obeys(make: Maker) -> None:
    folder = make.path()
    for name in ("bundle", "canaries", "thresholds"):
        schema = json.loads((folder / "schemas" / f"{name}.schema.json").read_bytes())
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(json.loads((folder / f"{name}.json").read_bytes()))


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_shipped_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema_bytes(name)))
    shipped = {entry.name for entry in resources.files("stage1.bundle").joinpath("schemas").iterdir()}
    assert shipped == {f"{schema}.schema.json" for schema in SCHEMAS}


def test_the_three_policy_files_are_the_policy_rooms() -> None:
    assert {name: Path(file).name for name, file in POLICY_FILES.items()} == POLICIES


@pytest.mark.parametrize("champion", [None, pointer()])
def test_every_promotion_of_the_gate_can_be_bundled(make: Maker, champion: dict[str, Any] | None) -> None:
    candidate = Candidate() if champion else Candidate(champion_augrc=None)
    document = gate(candidate.metrics(), GateConfig(), champion, look=2).to_json()
    assert document["promote"] is True
    assert make(decision=document).manifest.decision == document


def test_a_refusal_of_the_gate_cannot(make: Maker) -> None:
    refusal = gate(Candidate(fn=60).metrics(), GateConfig(), pointer()).to_json()
    arguments = make.arguments(decision=refusal)
    with pytest.raises(PromotionRefused, match="says promote"):
        write_bundle(make.folder / "out", **arguments)
    assert not (make.folder / "out").exists()


def test_a_folder_with_files_is_left_alone(make: Maker) -> None:
    arguments = make.arguments()
    (make.folder / "out").mkdir()
    write_bundle(make.folder / "out", **arguments)
    with pytest.raises(BadInput, match="empty folder"):
        write_bundle(make.folder / "out", **arguments)
    verify(make.folder / "out")


def wrong_canary(**changes: Any) -> Any:
    return lambda given: given.update(canaries=[dataclasses.replace(given["canaries"][0], **changes)])


def more_files(name: str, data: bytes = b"x") -> Any:
    def change(given: dict[str, Any]) -> None:
        path = given["model"].parent / "more"
        path.write_bytes(data)
        given["files"] = {name: path}

    return change


def policy_named(name: str) -> Any:
    return lambda given: given.update(policy=given["policy"].rename(given["policy"].with_name(name)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda given: given.update(name=""), r"\$\.name"),
        (lambda given: given.update(name="a b"), r"\$\.name"),
        (lambda given: given.update(version="/"), r"\$\.version"),
        (lambda given: given.update(sequence=0), r"\$\.sequence"),
        (lambda given: given.update(provenance={}), r"\$\.provenance"),
        (lambda given: given.update(provenance={"model_digest": MODEL, "x": math.nan}), "written as JSON"),
        (lambda given: given.update(provenance={"model_digest": MODEL, "x": Path()}), "written as JSON"),
        (lambda given: given.update(decision={"promote": True}), "required property"),
        (lambda given: given.update(canaries=[]), "1 to 32 canary images, got 0"),
        (lambda given: given.update(canaries=given["canaries"] * 11), "1 to 32 canary images, got 33"),
        (wrong_canary(gate=math.nan), "not finite"),
        (wrong_canary(image=Path("nowhere.png")), "Need a file for canaries/0.png"),
        (lambda given: given.update(model=Path("nowhere.onnx")), "Need a file for model.onnx"),
        (lambda given: given.update(policy=Path("thresholds.json")), "cannot be read"),
        (policy_named("policy.json"), "Need a policy file named"),
        (lambda given: given["policy"].write_text("{"), "not strict JSON"),
        (lambda given: given["policy"].write_text("[]"), "no JSON object"),
        (more_files("README.md"), "written by stage1 itself"),
        (more_files("model.pkl"), "no file of the kind"),
        (more_files("../x.json"), "no file named"),
    ],
)
def test_what_cannot_be_part_of_a_bundle_is_bad_input(make: Maker, change: Any, match: str) -> None:
    arguments = make.arguments()
    change(arguments)
    with pytest.raises(BadInput, match=match):
        write_bundle(make.folder / "out", **arguments)
    assert not (make.folder / "out" / "bundle.json").exists()


def test_a_policy_that_is_none_is_bad_input(make: Maker) -> None:
    arguments = make.arguments()
    arguments["policy"].write_text("{}")
    with pytest.raises(BadArtifact, match="schema must be one of"):
        write_bundle(make.folder / "out", **arguments)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (wrong_canary(logits=expected_logits((0, 0, 0))), "does not reproduce"),
        (policy_named("gateparams.json"), "gate judged policy softmax"),
        (lambda given: given.update(provenance={"model_digest": "f" * 64}), "gate judged model"),
        (lambda given: given.update(decision=decision(policy="scrc")), "gate judged policy scrc"),
        (more_files("more.json", b"{"), "not strict JSON"),
    ],
)
def test_what_would_be_rejected_is_rejected_when_written(make: Maker, change: Any, match: str) -> None:
    arguments = make.arguments()
    change(arguments)
    with pytest.raises(BundleRejected, match=match):
        write_bundle(make.folder / "out", **arguments)
