"""The Open Inference Protocol v2 against a real server; the binary parts are put together here by hand."""

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from stage1 import __version__
from tests.bundle.making import BLUE, GREY, RED, picture
from tests.serving.process import MODEL, asked, outputs, png, with_header

INFER = f"{MODEL}/infer"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


P_RED = sigmoid(8 * (250 - 10) / 255)  # z1 - z0 = scale * (red - blue) / 255
FILES = [png(picture(colour)) for colour in (RED, BLUE, GREY)]
EXPECTED = {
    "answer": ["exit", "exit", "defer"],
    "label": ["roadwork", "nothing", ""],
    "possible": [False, True, True, False, True, True],
}


class TestMetadata:
    def test_the_server(self, client: httpx.Client) -> None:
        response = client.get("/v2")
        assert response.json() == {"name": "stage1", "version": __version__, "extensions": ["binary_tensor_data"]}

    @pytest.mark.parametrize(
        "path", ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready", f"{MODEL}/versions/1/ready"]
    )
    def test_health(self, client: httpx.Client, path: str) -> None:
        response = client.get(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")

    @pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
    def test_the_model(self, client: httpx.Client, path: str) -> None:
        document = client.get(path).json()
        assert document["inputs"] == [
            {"name": "images", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, 16, 16, 3]},
        ]
        assert [(output["name"], output["datatype"], output["shape"]) for output in document["outputs"]] == [
            ("answer", "BYTES", [-1]),
            ("label", "BYTES", [-1]),
            ("possible", "BOOL", [-1, 2]),
            ("probability", "FP64", [-1]),
            ("confidence", "FP64", [-1]),
        ]
        assert (document["name"], document["versions"], document["platform"]) == ("colours", ["1"], "stage1")
        assert document["parameters"]["classes"] == ["nothing", "roadwork"]

    @pytest.mark.parametrize(
        "path", ["/v2/models/other", f"{MODEL}/versions/2", f"{MODEL}/versions/2/ready", "/v2/nothing", "/"]
    )
    def test_what_is_not_there_is_404_with_an_error(self, client: httpx.Client, path: str) -> None:
        response = client.get(path)
        assert (response.status_code, list(response.json())) == (404, ["error"])

    def test_a_wrong_method_is_405_and_says_which_is_right(self, client: httpx.Client) -> None:
        response = client.get(INFER)
        assert (response.status_code, list(response.json()), response.headers["allow"]) == (405, ["error"], "POST")


class TestInfer:
    @pytest.mark.parametrize("path", [INFER, f"{MODEL}/versions/1/infer"])
    def test_image_files_in_json(self, client: httpx.Client, path: str) -> None:
        response = client.post(path, json=asked(*FILES, id="seven"))
        document = response.json()
        assert (document["model_name"], document["model_version"], document["id"]) == ("colours", "1", "seven")
        found = outputs(response)
        assert {name: found[name] for name in EXPECTED} == EXPECTED
        assert found["probability"] == pytest.approx([P_RED, 1 - P_RED, 0.5], abs=1e-6)
        shapes = {output["name"]: output["shape"] for output in document["outputs"]}
        assert shapes == {"answer": [3], "label": [3], "possible": [3, 2], "probability": [3], "confidence": [3]}

    def test_no_id_gives_none(self, client: httpx.Client) -> None:
        assert "id" not in client.post(INFER, json=asked(FILES[0])).json()

    def test_rows_of_one_element(self, client: httpx.Client) -> None:
        request = asked(*FILES)
        tensor = request["inputs"][0]
        tensor["shape"], tensor["data"] = [3, 1], [[element] for element in tensor["data"]]
        assert outputs(client.post(INFER, json=request))["label"] == EXPECTED["label"]

    @pytest.mark.parametrize("flat", [True, False])
    def test_pixels_in_json(self, client: httpx.Client, flat: bool) -> None:
        pixels = np.stack([picture(RED, 16), picture(BLUE, 16)])
        data = (pixels.ravel() if flat else pixels).tolist()
        tensor = {"name": "pixels", "datatype": "UINT8", "shape": [2, 16, 16, 3], "data": data}
        assert outputs(client.post(INFER, json={"inputs": [tensor]}))["label"] == ["roadwork", "nothing"]

    def test_chosen_outputs_come_in_their_order(self, client: httpx.Client) -> None:
        wanted = [{"name": "label"}, {"name": "answer"}]
        response = client.post(INFER, json=asked(FILES[0], outputs=wanted))
        assert list(outputs(response)) == ["label", "answer"]


def elements(raw: bytes) -> Iterator[bytes]:
    while raw:
        (size,) = struct.unpack("<I", raw[:4])
        yield raw[4 : 4 + size]
        raw = raw[4 + size :]


def raw_outputs(response: httpx.Response) -> dict[str, tuple[dict[str, Any], bytes]]:
    length = int(response.headers["Inference-Header-Content-Length"])
    document, raw = json.loads(response.content[:length]), response.content[length:]
    parts = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        parts[output["name"]], raw = (output, raw[:size]), raw[size:]
    assert raw == b""
    return parts


class TestBinary:
    def test_image_files(self, client: httpx.Client) -> None:
        raw = b"".join(struct.pack("<I", len(file)) + file for file in FILES)
        tensor = {"name": "images", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": len(raw)}}
        response = client.post(INFER, **with_header({"inputs": [tensor]}, raw))
        assert outputs(response)["answer"] == EXPECTED["answer"]

    def test_pixels(self, client: httpx.Client) -> None:
        raw = picture(BLUE, 16).tobytes()
        tensor = {
            "name": "pixels",
            "datatype": "UINT8",
            "shape": [1, 16, 16, 3],
            "parameters": {"binary_data_size": len(raw)},
        }
        response = client.post(INFER, **with_header({"inputs": [tensor]}, raw))
        assert outputs(response)["label"] == ["nothing"]

    def test_all_outputs(self, client: httpx.Client) -> None:
        response = client.post(INFER, json=asked(*FILES, parameters={"binary_data_output": True}))
        assert response.headers["content-type"] == "application/octet-stream"
        parts = raw_outputs(response)
        assert [element.decode() for element in elements(parts["answer"][1])] == EXPECTED["answer"]
        assert [element.decode() for element in elements(parts["label"][1])] == EXPECTED["label"]
        assert list(parts["possible"][1]) == EXPECTED["possible"]
        assert struct.unpack("<3d", parts["probability"][1]) == pytest.approx((P_RED, 1 - P_RED, 0.5), abs=1e-6)
        assert all("data" not in output for output, _ in parts.values())

    def test_one_output_of_two(self, client: httpx.Client) -> None:
        wanted = [{"name": "label"}, {"name": "probability", "parameters": {"binary_data": True}}]
        parts = raw_outputs(client.post(INFER, json=asked(FILES[0], outputs=wanted)))
        assert parts["label"][0]["data"] == ["roadwork"]
        assert struct.unpack("<d", parts["probability"][1]) == pytest.approx((P_RED,), abs=1e-6)
