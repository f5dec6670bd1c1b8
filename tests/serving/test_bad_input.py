"""Whatever is sent, the answer is {"error": ...} with a status of 4xx, and the server goes on."""

import base64
import json
import os
import struct
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stage1.serving.refusal import Refusal
from stage1.serving.request import read_request
from tests.bundle.making import RED, picture
from tests.serving.process import MODEL, Process, asked, outputs, png, with_header

INFER = f"{MODEL}/infer"
GOOD = png(picture(RED))
PIXELS = {"name": "pixels", "datatype": "UINT8", "shape": [1, 16, 16, 3]}


def changed(**fields: Any) -> dict[str, Any]:
    """A good request whose tensor has other fields; None removes one."""
    tensor = {**asked(GOOD)["inputs"][0], **fields}
    return {"inputs": [{name: value for name, value in tensor.items() if value is not None}]}


def pixels(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{**PIXELS, "data": [7] * 768, **fields}]}


WRONG: dict[str, tuple[Any, int, str]] = {
    "no object": ([], 400, "object"),
    "no inputs": ({}, 400, "Need inputs"),
    "inputs empty": ({"inputs": []}, 400, "Need inputs"),
    "inputs no list": ({"inputs": {}}, 400, "Need inputs"),
    "two inputs": ({"inputs": asked(GOOD)["inputs"] * 2}, 400, "one tensor"),
    "unknown field": ({**asked(GOOD), "extra": 1}, 400, "extra"),
    "id a number": (asked(GOOD, id=7), 400, "id"),
    "parameters a list": (asked(GOOD, parameters=[]), 400, "parameters"),
    "another name": (changed(name="picture"), 400, "picture"),
    "name a list": (changed(name=["images"]), 400, "images"),
    "another datatype": (changed(datatype="FP32"), 400, "FP32"),
    "no shape": (changed(shape=None), 400, "shape"),
    "shape of three": (changed(shape=[1, 1, 1]), 400, "[N] or [N,1]"),
    "shape empty": (changed(shape=[]), 400, "[N] or [N,1]"),
    "negative shape": (changed(shape=[-1]), 400, "whole numbers"),
    "shape of booleans": (changed(shape=[True]), 400, "whole numbers"),
    "no image": (changed(shape=[0], data=[]), 400, "no image"),
    "more than it says": (changed(shape=[2]), 400, "holds 1 elements"),
    "no data": (changed(data=None), 400, "base64"),
    "data a number": (changed(data=7), 400, "base64"),
    "data numbers": (changed(data=[7]), 400, "base64"),
    "no base64": (changed(data=["not base64!"]), 400, "not base64"),
    "not ascii": (changed(data=["ä"]), 400, "not base64"),
    "another content type": (changed(parameters={"content_type": "str"}), 400, "base64"),
    "no such output": (asked(GOOD, outputs=[{"name": "logits"}]), 400, "logits"),
    "output without a name": (asked(GOOD, outputs=[{}]), 400, "name"),
    "outputs no list": (asked(GOOD, outputs={"name": "label"}), 400, "list"),
    "no bytes behind": (changed(data=None, parameters={"binary_data_size": 5}), 400, "binary_data_size"),
    "an image that is none": (asked(b"hello"), 400, "Image 0"),
    "an empty image": (asked(GOOD, b""), 400, "Image 1"),
    "a cut image": (asked(GOOD[: len(GOOD) // 2]), 400, "Image 0"),
    "too many images": (asked(*[GOOD] * 9), 413, "At most 8"),
    "pixels of another size": (pixels(shape=[1, 20, 20, 3]), 400, "[N,16,16,3]"),
    "too few pixels": (pixels(data=[7] * 767), 400, "768"),
    "ragged pixels": (pixels(data=[[7], [7, 7]]), 400, "one shape"),
    "pixels of text": (pixels(data=["7"] * 768), 400, "whole numbers"),
    "pixels of fractions": (pixels(data=[0.5] * 768), 400, "whole numbers"),
    "pixels above 255": (pixels(data=[256] * 768), 400, "0 to 255"),
    "pixels below 0": (pixels(data=[-1] * 768), 400, "0 to 255"),
    "pixels past int64": (pixels(data=[2**70] * 768), 400, "whole numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_its_reason(client: httpx.Client, case: str) -> None:
    document, status, reason = WRONG[case]
    response = client.post(INFER, json=document)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert reason in response.json()["error"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"\xff\xfe", b'{"inputs": [], "inputs": []}', b'{"inputs": NaN}', b"[" * 100_000],
    ids=["empty", "cut", "null", "no utf-8", "a key twice", "NaN", "deep"],
)
def test_no_strict_json_is_refused(client: httpx.Client, content: bytes) -> None:
    response = client.post(INFER, content=content)
    assert (response.status_code, list(response.json())) == (400, ["error"])


def binary(shape: int, raw: bytes, **parameters: Any) -> dict[str, Any]:
    said = {"binary_data_size": len(raw), **parameters}
    return with_header({"inputs": [{"name": "images", "datatype": "BYTES", "shape": [shape], "parameters": said}]}, raw)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (binary(1, struct.pack("<I", 9) + b"1234"), "says 9 bytes, 4 follow"),
        (binary(1, b"\1\0"), "within the length"),
        (binary(2, struct.pack("<I", len(GOOD)) + GOOD), "holds 1 elements"),
        (binary(1, b"1234", binary_data_size=3), "binary_data_size"),
        (binary(1, b"1234", binary_data_size=None), "follow the JSON"),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "3"}}, "from 0 to 2"),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "-1"}}, "from 0 to 2"),
        ({"content": b"{}", "headers": {"Inference-Header-Content-Length": "x"}}, "from 0 to 2"),
    ],
)
def test_binary_data_that_do_not_add_up_are_refused(client: httpx.Client, sent: dict[str, Any], reason: str) -> None:
    response = client.post(INFER, **sent)
    assert response.status_code == 400
    assert reason in response.json()["error"]


def test_many_elements_in_one_binary_tensor_are_refused_before_they_are_held(client: httpx.Client) -> None:
    response = client.post(INFER, **binary(1, b"\0\0\0\0" * 1000))
    assert response.status_code == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_413(client: httpx.Client, chunked: bool) -> None:
    body = b" " * (2 << 20) + b"{}"
    response = client.post(INFER, content=iter([body[: 1 << 20], body[1 << 20 :]]) if chunked else body)
    assert (response.status_code, list(response.json())) == (413, ["error"])
    assert "2,097,152" in response.json()["error"]


def test_an_image_of_too_many_pixels_is_413(client: httpx.Client) -> None:
    """65,000 x 1,000 pixels of one colour are a small file."""
    response = client.post(INFER, json=asked(png(np.zeros((1000, 65_000, 3), np.uint8))))
    assert response.status_code == 413
    assert "65,000 x 1,000" in response.json()["error"]


def test_a_packed_body_is_415(client: httpx.Client) -> None:
    response = client.post(INFER, json=asked(GOOD), headers={"content-encoding": "gzip"})
    assert (response.status_code, list(response.json())) == (415, ["error"])


def test_after_all_that_it_answers_and_nothing_was_its_own_fault(running: Process, client: httpx.Client) -> None:
    client.post(INFER, content=b"{")
    assert outputs(client.post(INFER, json=asked(GOOD)))["label"] == ["roadwork"]
    found = running.metrics()
    assert 'stage1_requests_total{status="500"}' not in found
    assert found['stage1_requests_total{status="400"}'] >= 1
    assert found["stage1_requests_in_progress"] == 0


def status_or_images(body: bytes, header_length: str | None) -> int | Sequence[Any]:
    try:
        return read_request(body, header_length, image_size=16, max_images=8).images
    except Refusal as refusal:
        return refusal.status


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inputs", "name", "shape", "datatype", "data", "parameters", "outputs", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = ("name", "datatype", "shape", "data", "parameters")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(field=st.sampled_from(FIELDS), value=json_values, whole=st.booleans(), is_pixels=st.booleans())
def test_any_json_in_any_field_is_read_or_refused(field: str, value: Any, whole: bool, is_pixels: bool) -> None:
    tensor = {**(PIXELS | {"data": [7] * 768} if is_pixels else asked(GOOD)["inputs"][0]), field: value}
    document = {"inputs": value} if whole else {"inputs": [tensor]}
    found = status_or_images(json.dumps(document).encode(), None)
    assert found in (400, 413) if isinstance(found, int) else 1 <= len(found) <= 8


@settings(deadline=None, max_examples=200)
@given(raw=st.binary(max_size=40), shape=st.integers(0, 9))
def test_any_bytes_behind_the_header_are_read_or_refused(raw: bytes, shape: int) -> None:
    sent = binary(shape, raw)
    found = status_or_images(sent["content"], sent["headers"]["Inference-Header-Content-Length"])
    if isinstance(found, int):
        assert found in (400, 413)
    else:
        assert b"".join(struct.pack("<I", len(image)) + bytes(image) for image in found) == raw


def test_base64_reads_back(tmp_path: object) -> None:
    payload = os.urandom(100)
    document = {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1],
                            "data": [base64.b64encode(payload).decode()]}]}  # fmt: skip
    assert list(read_request(json.dumps(document).encode(), None, image_size=16, max_images=1).images) == [payload]
