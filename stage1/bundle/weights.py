"""model.safetensors looked through while it is read: a header that adds up, and numbers that are numbers.

A consumer never uses the file (model.onnx has the weights, too). Whoever trains on from a bundle does, so it is held to
the same: a pickle or an archive under that name, a header that points outside or is huge, NaN weights are rejections.

Format: https://huggingface.co/docs/safetensors/index#format. 8 bytes of header length, little-endian; the header in
JSON; then the tensors without a gap, in any order of names.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from stage1.bundle.documents import Malformed, parse
from stage1.errors import BundleRejected

_HEADER_LIMIT = 16 << 20
_PIECE = 1 << 20
_FLOATS: dict[str, DTypeLike] = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def check_weights(chunks: Iterable[bytes], size: int) -> None:
    """Read a safetensors file to its end and check it.

    Args:
        chunks: Its bytes, in order.
        size: How many there are.

    Raises:
        BundleRejected: It is no safetensors file, or a number in it is not finite.
    """
    stream = _Stream(chunks)
    length = int.from_bytes(stream.take(8), "little")
    if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
        raise BundleRejected(
            f"model.safetensors says that its header has {length:,} bytes; at most {_HEADER_LIMIT:,} are read, and it "
            f"has {size:,} in all."
        )
    for name, kind, num_bytes in _tensors(stream.take(length), size - 8 - length):
        for piece in stream.pieces(num_bytes):
            if not _finite(kind, piece):
                raise BundleRejected(f"Tensor {name[:200]!r} in model.safetensors has a number that is not finite.")


def _tensors(header: bytes, room: int) -> list[tuple[str, str, int]]:
    """Return (name, kind, bytes) of each tensor in the order in which they lie."""
    try:
        document = parse(header)
        entries = {name: entry for name, entry in document.items() if name != "__metadata__"}
        placed = sorted((*_span(entry), name) for name, entry in entries.items())
    except (Malformed, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleRejected(f"model.safetensors has no header that can be read: {error}.") from error
    ends = [0, *(end for _, end, _ in placed)]
    if ends[-1] != room or any(start != end for (start, _, _), end in zip(placed, ends, strict=False)):
        raise BundleRejected("model.safetensors has tensors that overlap, leave a gap or lie outside.")
    for start, end, name in placed:
        _check_shape(name, entries[name], end - start)
    return [(name, entries[name]["dtype"], end - start) for start, end, name in placed]


def _span(entry: Any) -> tuple[int, int]:
    start, end = entry["data_offsets"]
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start <= end:
        raise ValueError("data_offsets are no range")
    return start, end


def _check_shape(name: str, entry: Any, num_bytes: int) -> None:
    shape, kind = entry.get("shape"), entry.get("dtype")
    sides = shape if isinstance(shape, list) and all(isinstance(side, int) and side >= 0 for side in shape) else None
    width = _SIZES.get(str(kind))
    if sides is None or width is None or prod(sides) * width != num_bytes:
        raise BundleRejected(
            f"Tensor {name[:200]!r} in model.safetensors has {num_bytes:,} bytes; its dtype {str(kind)[:20]} and shape "
            f"{str(shape)[:80]} need others."
        )


def _finite(kind: str, piece: bytes) -> bool:
    if kind == "BF16":  # the upper half of a float32: not finite where all bits of the exponent are set
        return not bool(((np.frombuffer(piece, "<u2") & 0x7F80) == 0x7F80).any())
    if kind not in _FLOATS:
        return True
    return bool(np.isfinite(np.frombuffer(piece, _FLOATS[kind])).all())


class _Stream:
    """Exactly as many bytes as are asked for, from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = b""

    def take(self, count: int) -> bytes:
        parts, have = [self._left], len(self._left)
        while have < count and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        if have < count:
            raise BundleRejected("model.safetensors ends too early.")
        self._left = data[count:]
        return data[:count]

    def pieces(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes in pieces that no number lies across."""
        for start, end in pairwise([*range(0, count, _PIECE), count]):
            yield self.take(end - start)
