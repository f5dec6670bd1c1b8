"""bom.cdx.json: the bundle as a CycloneDX 1.6 ML-BOM, for whoever keeps an inventory of what runs where.

cyclonedx-python-lib (extra `analysis`) writes components, licences and hashes; it knows no model cards yet, so that
part is put into its JSON here. The whole is checked against CycloneDX's own schema before it is returned. No clock and
no random number: the same bundle has the same BOM.

Specification: https://cyclonedx.org/docs/1.6/json/.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from stage1.bundle.documents import canonical
from stage1.errors import BadInput

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

BOM = "bom.cdx.json"

_RATES = ("fnr_answered", "fpr_answered")


def ml_bom(
    *,
    name: str,
    version: str,
    licence: str,
    classes: tuple[str, str],
    architecture: str,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
    files: Mapping[str, str],
) -> bytes:
    """Return bom.cdx.json.

    Args:
        name: Of the model.
        version: Of the bundle.
        licence: Of the weights: an SPDX identifier or expression, or a name.
        classes: Names of label 0 and of label 1.
        architecture: Of the network.
        provenance: As in bundle.json; stage1, code, python, libraries, data_digest and model_digest are used.
        metrics: metrics.json; the chosen policy's numbers on val_test are used.
        files: SHA-256 of files in the bundle, by name.

    Raises:
        BadInput: A part cannot stand in a BOM.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    model = Component(
        name=name,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        description=f"Selective image classifier: {classes[0]} or {classes[1]}, or deferred to a second stage.",
        licenses=[_licence(licence)],
        hashes=[_sha256(provenance["model_digest"])],
    )
    data = Component(
        name="data set",
        type=ComponentType.DATA,
        bom_ref="data",
        description="Manifest of the images, labels, groups and splits that the model was trained and judged on.",
        hashes=[_sha256(provenance["data_digest"])],
    )
    parts = [
        Component(name=file, type=ComponentType.FILE, bom_ref=f"file:{file}", hashes=[_sha256(digest)])
        for file, digest in sorted(files.items())
    ]
    libraries = _libraries(provenance)
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"stage1:{name}:{version}:{provenance['model_digest']}"),
        components=[data, *parts, *libraries],
    )
    bom.metadata.component = model
    bom.register_dependency(model, [data, *parts, *libraries])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    document["metadata"]["component"]["modelCard"] = _model_card(classes, architecture, metrics)
    for component in document["components"]:
        if component["type"] == "data":
            component["data"] = [{"type": "dataset", "name": component["name"]}]
    return _checked(canonical(document))


def _checked(data: bytes) -> bytes:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()):
        raise BadInput(f"The ML-BOM would break the schema of CycloneDX: {str(error)[:500]}")
    return data


def _libraries(provenance: Mapping[str, Any]) -> list["Component"]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    listed = [
        Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"pypi:{name}",
            purl=PackageURL("pypi", None, name, version),
        )
        for name, version in sorted(provenance["libraries"].items())
    ]
    code = Component(
        name="stage1",
        version=provenance["stage1"],
        type=ComponentType.APPLICATION,
        bom_ref="stage1",
        hashes=[_sha256(provenance["code"])],
    )
    platform = Component(
        name="python", version=provenance["python"], type=ComponentType.PLATFORM, bom_ref="platform:python"
    )
    return [code, *listed, platform]


def _model_card(classes: tuple[str, str], architecture: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    chosen = metrics["policies"][metrics["chosen"]]
    numbers = [_metric(name, chosen[name], "low", "high") for name in ("coverage", "augrc")]
    numbers += [_metric(name, chosen[name], "", "upper") for name in _RATES]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": f"selective binary image classification ({classes[1]} against {classes[0]})",
            "architectureFamily": "neural network",
            "modelArchitecture": architecture,
            "datasets": [{"ref": "data"}],
            "inputs": [{"format": "image: uint8 [N,S,S,3] RGB"}],
            "outputs": [{"format": "logits: float32 [N,2]"}, {"format": "gate: float32 [N]"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": numbers},
    }


def _metric(name: str, part: Mapping[str, Any], low: str, high: str) -> dict[str, Any]:
    """A number with its interval; a rate has a one-sided bound."""
    bounds = {"lowerBound": low, "upperBound": high}
    return {
        "type": name,
        "slice": "val_test",
        "value": _number(part["value"]),
        "confidenceInterval": {place: _number(part[key]) for place, key in bounds.items() if key},
    }


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _sha256(digest: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _licence(text: str) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return LicenseFactory().make_from_string(text)
