"""Answers as an inference response of the Open Inference Protocol v2, and the metadata that describes both sides.

Shapes: N images.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.bundle import Answer, Bundle
from stage1.serving.binary import write_tensor
from stage1.serving.refusal import Refusal
from stage1.serving.request import IMAGES, PIXELS, InferRequest

_Read = Callable[[Sequence[Answer], Bundle], Sequence[str] | NDArray[np.generic]]
_OUTPUTS: dict[str, tuple[str, list[int], _Read]] = {
    "answer": ("BYTES", [-1], lambda answers, _: [answer.answer for answer in answers]),
    "label": ("BYTES", [-1], lambda answers, _: [answer.label or "" for answer in answers]),
    "possible": ("BOOL", [-1, 2], lambda answers, bundle: _possible(answers, bundle.manifest.classes)),
    "probability": ("FP64", [-1], lambda answers, _: np.array([answer.probability for answer in answers])),
    "confidence": ("FP64", [-1], lambda answers, _: np.array([answer.confidence for answer in answers])),
}


def model_metadata(name: str, bundle: Bundle) -> dict[str, Any]:
    """Return what GET /v2/models/{name} says."""
    size = bundle.manifest.preprocessing["image_size"]
    return {
        "name": name,
        "versions": [bundle.manifest.version],
        "platform": "stage1",
        "inputs": [
            {"name": IMAGES, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, size, size, 3]},
        ],
        "outputs": [
            {"name": output, "datatype": datatype, "shape": shape} for output, (datatype, shape, _) in _OUTPUTS.items()
        ],
        "parameters": {
            "classes": list(bundle.manifest.classes),
            "policy": bundle.policy_name,
            "digest": bundle.digest,
            "sequence": bundle.manifest.sequence,
        },
    }


def write_response(
    name: str, bundle: Bundle, request: InferRequest, answers: Sequence[Answer]
) -> tuple[bytes, int | None]:
    """Return the body, and the length of its JSON part where tensors follow it.

    Raises:
        Refusal: 400 for an output that there is not.
    """
    document: dict[str, Any] = {"model_name": name, "model_version": bundle.manifest.version}
    if request.id is not None:
        document["id"] = request.id
    document["parameters"] = {"digest": bundle.digest}
    raw: list[bytes] = []
    document["outputs"] = [_output(output, binary, bundle, answers, raw) for output, binary in _chosen(request).items()]
    header = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return b"".join((header, *raw)), len(header) if raw else None


def check_outputs(request: InferRequest) -> None:
    """Raise Refusal 400 for an output that there is not; before any work is done."""
    for output in request.outputs or {}:
        if output not in _OUTPUTS:
            raise Refusal(400, f"There is no output {output[:100]!r}; there are {', '.join(_OUTPUTS)}.")


def _chosen(request: InferRequest) -> dict[str, bool]:
    if request.outputs is None:
        return dict.fromkeys(_OUTPUTS, request.binary)
    return dict(request.outputs)


def _output(output: str, binary: bool, bundle: Bundle, answers: Sequence[Answer], raw: list[bytes]) -> dict[str, Any]:
    datatype, shape, read = _OUTPUTS[output]
    values = read(answers, bundle)
    tensor: dict[str, Any] = {"name": output, "datatype": datatype, "shape": [len(answers), *shape[1:]]}
    if binary:
        raw.append(write_tensor(datatype, values))
        return {**tensor, "parameters": {"binary_data_size": len(raw[-1])}}
    return {**tensor, "data": [_json_value(value) for value in np.ravel(np.asarray(values)).tolist()]}


def _json_value(value: Any) -> Any:
    """JSON has no NaN: the probability of an image for which the model gave no finite number is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _possible(answers: Sequence[Answer], classes: tuple[str, str]) -> NDArray[np.bool_]:
    return np.array([[name in answer.label_set for name in classes] for answer in answers], dtype=bool)
