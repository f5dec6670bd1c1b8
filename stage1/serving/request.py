"""An inference request of the Open Inference Protocol v2, from the body's bytes to images.

Two inputs are understood, one of them a request:
- `images`, BYTES [N] or [N,1]: image files (JPEG, PNG, ...); base64 in JSON, raw in the binary extension;
- `pixels`, UINT8 [N,S,S,3]: pictures that the caller has brought to the bundle's size, RGB.

Shapes: N images, S = image_size of the bundle's preprocessing.
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.bundle.documents import Malformed, parse
from stage1.serving.binary import read_bytes_tensor, split_header
from stage1.serving.refusal import Refusal

IMAGES, PIXELS = "images", "pixels"
_DATATYPES = {IMAGES: "BYTES", PIXELS: "UINT8"}
_FIELDS = frozenset({"id", "parameters", "inputs", "outputs"})


@dataclass(frozen=True)
class InferRequest:
    """What was asked.

    Attributes:
        id: The caller's, given back with the answer; None where there was none.
        images: Image files, or uint8 [S,S,3] pictures.
        outputs: Wanted outputs in order, each with whether it should be binary; None: all, as `binary` says.
        binary: Whether outputs are binary where not said otherwise.
    """

    id: str | None
    images: Sequence[bytes | NDArray[np.uint8]]
    outputs: Mapping[str, bool] | None
    binary: bool


def read_request(body: bytes, header_length: str | None, *, image_size: int, max_images: int) -> InferRequest:
    """Return the request in this body.

    Args:
        body: All bytes of the HTTP request's body.
        header_length: Value of the Inference-Header-Content-Length header; None: JSON alone.
        image_size: S of the bundle that will answer.
        max_images: More in one request are refused.

    Raises:
        Refusal: 400 or 413, with what was needed and what came.
    """
    header, raw = split_header(body, header_length)
    try:
        document = parse(header)
    except Malformed as error:
        raise Refusal(400, f"The request {error}") from error
    if not isinstance(document, dict):
        raise Refusal(400, f"The request must be a JSON object, got {type(document).__name__}.")
    if unknown := sorted(set(document) - _FIELDS):
        raise Refusal(400, f"The request has no field {unknown[0]!r}; it has {', '.join(sorted(_FIELDS))}.")
    request_id = document.get("id")
    if not isinstance(request_id, str | None):
        raise Refusal(400, f"The request's id must be a string, got {type(request_id).__name__}.")
    parameters = _object(document, "parameters", "the request")
    return InferRequest(
        id=request_id,
        images=_images(document.get("inputs"), raw, image_size, max_images),
        outputs=_wanted(document, binary := parameters.get("binary_data_output") is True),
        binary=binary,
    )


def _object(holder: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = holder.get(key, {})
    if not isinstance(value, dict):
        raise Refusal(400, f"{key} of {where} must be an object, got {type(value).__name__}.")
    return value


def _wanted(document: Mapping[str, Any], binary: bool) -> dict[str, bool] | None:
    outputs = document.get("outputs")
    if outputs is None:
        return None
    if not isinstance(outputs, list) or not all(
        isinstance(x, dict) and isinstance(x.get("name"), str) for x in outputs
    ):
        raise Refusal(400, "outputs must be a list of objects that have a name.")
    wanted = {}
    for output in outputs:
        said = _object(output, "parameters", f"output {output['name']!r}").get("binary_data", binary)
        wanted[output["name"]] = said is True
    return wanted


def _images(inputs: Any, raw: memoryview, size: int, most: int) -> Sequence[bytes | NDArray[np.uint8]]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refusal(400, f"Need inputs with one tensor, {IMAGES!r} (BYTES [N]) or {PIXELS!r} (UINT8 [N,S,S,3]).")
    (tensor,) = inputs
    name = tensor.get("name")
    if name not in (IMAGES, PIXELS):
        raise Refusal(400, f"Need an input named {IMAGES!r} or {PIXELS!r}, got {name!r}.")
    if tensor.get("datatype") != _DATATYPES[name]:
        raise Refusal(400, f"Input {name!r} has datatype {_DATATYPES[name]}, got {tensor.get('datatype')!r}.")
    shape = _shape(tensor, name, size)
    if shape[0] > most:
        raise Refusal(413, f"At most {most} images a request are answered, got {shape[0]}. Send several requests.")
    parameters = _object(tensor, "parameters", f"input {name!r}")
    own_raw = _raw(parameters, raw, tensor)
    if name == PIXELS:
        return list(_pixels(tensor, own_raw, shape))
    images = _files(tensor, parameters) if own_raw is None else read_bytes_tensor(own_raw, most)
    if len(images) != shape[0]:
        raise Refusal(400, f"Input {name!r} says shape {list(shape)} and holds {len(images)} elements.")
    return images


def _shape(tensor: Mapping[str, Any], name: str, size: int) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise Refusal(400, f"Input {name!r} needs a shape of whole numbers, got {str(shape)[:100]}.")
    fits = shape[1:] in ([], [1]) if name == IMAGES else shape[1:] == [size, size, 3]
    if not shape or not fits:
        needed = "[N] or [N,1]" if name == IMAGES else f"[N,{size},{size},3]"
        raise Refusal(400, f"Input {name!r} needs shape {needed}, got {str(shape)[:100]}.")
    if shape[0] < 1:
        raise Refusal(400, f"Input {name!r} holds no image.")
    return tuple(shape)


def _raw(parameters: Mapping[str, Any], raw: memoryview, tensor: Mapping[str, Any]) -> memoryview | None:
    """The tensor's bytes behind the header, or None where its data stand in the JSON."""
    size = parameters.get("binary_data_size")
    if size is None:
        if len(raw):
            raise Refusal(400, f"{len(raw):,} bytes follow the JSON and no input says binary_data_size.")
        return None
    if type(size) is not int or size != len(raw):
        raise Refusal(400, f"binary_data_size must be {len(raw):,}, the bytes behind the JSON, got {str(size)[:50]}.")
    if "data" in tensor:
        raise Refusal(400, "An input has data or binary_data_size, not both.")
    return raw


def _files(tensor: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[bytes]:
    if parameters.get("content_type", "base64") != "base64":
        raise Refusal(400, f"Images in JSON are base64, got content_type {str(parameters['content_type'])[:50]!r}.")
    data = tensor.get("data")
    if isinstance(data, list) and all(isinstance(row, list) for row in data):
        data = [element for row in data for element in row]
    if not isinstance(data, list) or not all(isinstance(element, str) for element in data):
        raise Refusal(400, f"Input {IMAGES!r} needs data: a list of base64 strings.")
    files = []
    for index, text in enumerate(data):
        try:
            files.append(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise Refusal(400, f"Image {index} is not base64: {error}.") from error
    return files


def _pixels(tensor: Mapping[str, Any], raw: memoryview | None, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    needed = math.prod(shape)
    if raw is not None:
        if len(raw) != needed:
            raise Refusal(400, f"Input {PIXELS!r} of shape {list(shape)} needs {needed:,} bytes, got {len(raw):,}.")
        return np.frombuffer(raw, np.uint8).reshape(shape)
    try:
        values = np.array(tensor.get("data"))
    except (ValueError, OverflowError) as error:
        raise Refusal(400, f"Input {PIXELS!r} needs data of one shape: {str(error)[:200]}") from error
    if values.dtype.kind not in "iu" or values.size != needed or values.shape not in (shape, (needed,)):
        raise Refusal(
            400,
            f"Input {PIXELS!r} needs {needed:,} whole numbers, flat or nested as {list(shape)}, "
            f"got {values.dtype} {list(values.shape)}.",
        )
    if values.min() < 0 or values.max() > 255:
        raise Refusal(400, f"Input {PIXELS!r} needs values from 0 to 255, got {values.min()} to {values.max()}.")
    return values.astype(np.uint8).reshape(shape)
