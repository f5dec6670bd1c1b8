"""The ML-BOM: complete, by CycloneDX's own schema, and the same for the same bundle."""

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from stage1.bundle.bom import ml_bom
from tests.promotion.candidates import DATA, MODEL, OTHER, Candidate


def made(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "name": "colours",
        "version": "3-bbbb",
        "licence": "Apache-2.0",
        "classes": ("nothing", "roadwork"),
        "architecture": "convnet",
        "provenance": {
            "stage1": "0.1.0",
            "code": OTHER,
            "python": "3.11.7",
            "libraries": {"torch": "2.11.0", "numpy": "2.4.0"},
            "data_digest": DATA,
            "model_digest": MODEL,
        },
        "metrics": Candidate().metrics(),
        "files": {"model.onnx": "1" * 64, "thresholds.json": "2" * 64},
    }
    return ml_bom(**(given | changes))


def parts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["bom-ref"]: component for component in document["components"]}


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT OR Apache-2.0", "unspecified", "ours & theirs (c)"])
def test_it_obeys_the_schema_of_cyclonedx(licence: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made(licence=licence).decode()) is None


def test_the_same_bundle_has_the_same_bytes() -> None:
    assert made() == made()
    assert made() != made(version="4-bbbb")


def test_the_model_has_its_digest_licence_and_card() -> None:
    model = json.loads(made())["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "colours", "3-bbbb")
    assert model["hashes"] == [{"alg": "SHA-256", "content": MODEL}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    card = model["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "data"}]
    assert card["modelParameters"]["modelArchitecture"] == "convnet"
    numbers = {metric["type"]: metric for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert numbers["fnr_answered"]["value"] == f"{6 / 906:.6g}"
    assert numbers["augrc"]["confidenceInterval"] == {"lowerBound": "0.003", "upperBound": "0.005"}
    assert numbers["coverage"]["value"] == f"{(906 + 1850) / 3000:.6g}"


def test_data_code_files_and_libraries_are_its_parts() -> None:
    document = json.loads(made())
    found = parts(document)
    assert found["data"]["hashes"] == [{"alg": "SHA-256", "content": DATA}]
    assert found["stage1"]["hashes"] == [{"alg": "SHA-256", "content": OTHER}]
    assert found["file:model.onnx"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert found["pypi:torch"]["purl"] == "pkg:pypi/torch@2.11.0"
    assert found["platform:python"]["version"] == "3.11.7"
    needs = next(entry for entry in document["dependencies"] if entry["ref"] == "model")
    assert sorted(needs["dependsOn"]) == sorted(found)


def test_nothing_is_taken_from_the_clock() -> None:
    assert "timestamp" not in json.loads(made())["metadata"]


def test_a_rate_that_was_not_measured_is_called_undefined() -> None:
    metrics = Candidate(tp=0, fn=0).metrics()
    card = json.loads(made(metrics=metrics))["metadata"]["component"]["modelCard"]
    numbers = {metric["type"]: metric["value"] for metric in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert numbers["fnr_answered"] == "undefined"
