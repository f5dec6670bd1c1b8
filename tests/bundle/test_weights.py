"""model.safetensors is looked through without being used."""

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from stage1.bundle import BundleRejected
from stage1.bundle.weights import check_weights
from tests.bundle.making import weights


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def check(data: bytes, chunk: int = 1 << 20) -> None:
    check_weights(chunked(data, chunk), len(data))


def made(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def tensor(dtype: str, shape: list[Any], *offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


@given(
    chunk=st.integers(1, 300),
    sizes=st.lists(st.integers(0, 40), max_size=4),
)
def test_what_the_library_writes_is_good_in_chunks_of_any_size(chunk: int, sizes: list[int]) -> None:
    kinds = (np.float32, np.float64, np.float16, np.int64)
    tensors = {f"t{n}": np.ones(size, kind) for n, (size, kind) in enumerate(zip(sizes, kinds, strict=False))}
    data = save(tensors, metadata={"format": "pt"})
    check(data, chunk)


def test_a_tensor_longer_than_one_piece_is_looked_through_to_its_end() -> None:
    values = np.zeros(700_000, np.float32)  # 2.8 MB
    check(save({"a": values}))
    values[-1] = np.inf
    with pytest.raises(BundleRejected, match=r"'a' in model\.safetensors has a number that is not finite"):
        check(save({"a": values}))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_number_that_is_none_is_rejected(value: float, kind: Any) -> None:
    values = np.ones(9, kind)
    values[4] = value
    for chunk in (1, 3, 1000):
        with pytest.raises(BundleRejected, match="not finite"):
            check(save({"first": np.ones(2, np.float32), "second": values}), chunk)


@pytest.mark.parametrize(
    ("bits", "good"), [(0x3F80, True), (0x7F7F, True), (0xFF80, False), (0x7F80, False), (0x7FC0, False)]
)
def test_bfloat16_is_judged_by_its_exponent(bits: int, good: bool) -> None:
    """1.0 and the largest number are numbers; -inf, inf and NaN are none."""
    data = made({"a": tensor("BF16", [2], 0, 4)}, struct.pack("<HH", 0x3F80, bits))
    if good:
        check(data)
    else:
        with pytest.raises(BundleRejected, match="not finite"):
            check(data)


def test_weights_of_nan_in_a_bundle_are_seen() -> None:
    check(weights(1.5))
    with pytest.raises(BundleRejected, match="not finite"):
        check(weights(math.nan))


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "ends too early"),
    "short": (b"\1\0\0", "ends too early"),
    "huge header": (struct.pack("<Q", 2**63) + b"{}", "header has 9,223,372,036,854,775,808 bytes"),
    "header beyond the file": (struct.pack("<Q", 3) + b"{}", "header has 3 bytes"),
    "no header": (struct.pack("<Q", 0), "header has 0 bytes"),
    "header of 17 MB": (made(b"{}" + b" " * (17 << 20)), "at most 16,777,216"),
    "no JSON": (made(b"{'a'}"), "no header that can be read"),
    "an array": (made([]), "no header that can be read"),
    "a name twice": (made(b'{"a": 1, "a": 2}'), "stands twice"),
    "no offsets": (made({"a": {"dtype": "F32", "shape": []}}), "no header that can be read"),
    "offsets of text": (made({"a": tensor("F32", [1], "0", "4")}, b"\0" * 4), "no header that can be read"),
    "three offsets": (made({"a": tensor("F32", [1], 0, 2, 4)}, b"\0" * 4), "no header that can be read"),
    "offsets backwards": (made({"a": tensor("F32", [1], 4, 0)}, b"\0" * 4), "no header that can be read"),
    "negative offset": (made({"a": tensor("F32", [2], -4, 4)}, b"\0" * 4), "no header that can be read"),
    "overlap": (made({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 0, 4)}, b"\0" * 4), "overlap"),
    "gap": (made({"a": tensor("F32", [1], 4, 8)}, b"\0" * 8), "leave a gap"),
    "outside": (made({"a": tensor("F32", [2], 0, 8)}, b"\0" * 4), "outside"),
    "bytes left over": (made({"a": tensor("F32", [1], 0, 4)}, b"\0" * 5), "outside"),
    "another shape": (made({"a": tensor("F32", [2], 0, 4)}, b"\0" * 4), "shape [2]"),
    "negative shape": (made({"a": tensor("F32", [-1, -1], 0, 4)}, b"\0" * 4), "shape [-1, -1]"),
    "no shape": (made({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, b"\0" * 4), "shape None"),
    "no dtype": (made({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4), "dtype None"),
    "unknown dtype": (made({"a": tensor("F4", [1], 0, 4)}, b"\0" * 4), "dtype F4"),
    "dtype of a list": (made({"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4), "dtype"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_safetensors_file_is_rejected(name: str) -> None:
    data, match = BROKEN[name]
    with pytest.raises(BundleRejected) as caught:
        check(data)
    assert match in str(caught.value)


@given(st.binary(max_size=200))
def test_noise_is_rejected_and_raises_nothing_else(noise: bytes) -> None:
    with pytest.raises(BundleRejected):
        check(noise)
