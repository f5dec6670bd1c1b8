"""The binary tensor extension of the Open Inference Protocol: tensors as raw bytes behind the JSON header.

Little-endian and row-major; each element of a BYTES tensor is four bytes of length and then that many bytes.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stage1.serving.refusal import Refusal

HEADER = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")
_DTYPES = {"FP64": "<f8", "BOOL": "?", "UINT8": "u1"}


def split_header(body: bytes, header_length: str | None) -> tuple[bytes, memoryview]:
    """Return the JSON part and the tensors' part of a request's body.

    Args:
        body: All of it.
        header_length: The value of the header HEADER; None where the body is JSON alone.

    Raises:
        Refusal: 400, for a length that is none or longer than the body.
    """
    if header_length is None:
        return body, memoryview(b"")
    if not (header_length.isascii() and header_length.isdigit() and int(header_length) <= len(body)):
        raise Refusal(400, f"{HEADER} must be from 0 to {len(body)}, the length of the body, got {header_length!r}.")
    length = int(header_length)
    return body[:length], memoryview(body)[length:]


def read_bytes_tensor(raw: memoryview, most: int) -> list[bytes]:
    """Return the elements of a BYTES tensor.

    Raises:
        Refusal: 400 where the lengths do not add up, 413 for more than `most` elements.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(raw):
        if at + _LENGTH.size > len(raw):
            raise Refusal(400, "A BYTES tensor ends within the length of an element.")
        (size,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if at + size > len(raw):
            raise Refusal(400, f"An element of a BYTES tensor says {size:,} bytes, {len(raw) - at:,} follow.")
        if len(elements) == most:
            raise Refusal(413, f"At most {most} images a request are answered. Send several requests.")
        elements.append(bytes(raw[at : at + size]))
        at += size
    return elements


def write_tensor(datatype: str, values: Sequence[str] | NDArray[np.generic]) -> bytes:
    """Return the raw form of an output; `values` are text for BYTES and an array otherwise."""
    if datatype == "BYTES":
        encoded = [str(value).encode() for value in values]
        return b"".join(_LENGTH.pack(len(value)) + value for value in encoded)
    return np.ascontiguousarray(values, dtype=_DTYPES[datatype]).tobytes()
