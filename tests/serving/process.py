"""A real `stage1 serve` in a process of its own, and requests to it."""

import base64
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stage1.storage import Store
from tests.bundle.making import Maker, expected_logits, network
from tests.bundle.test_publishing import next_bundle

MODEL = "/v2/models/colours"


class Process:
    """The process, its address and its log."""

    def __init__(self, uri: str, log: Path, *options: str) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "from stage1.cli import main; main()",
                    "serve",
                    uri,
                    "--port",
                    "0",
                    "--poll-s",
                    "0.1",
                    *options,
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.url = self._found(r"listening on (http://\S+)")

    def _found(self, pattern: str) -> str:
        deadline = time.monotonic() + 60
        while not (match := re.search(pattern, self.log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.02)
        return match[1]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def until(self, path: str, wanted: int = 200) -> httpx.Response:
        """Ask until the answer has this status."""
        deadline = time.monotonic() + 30
        with self.client() as client:
            while (response := client.get(path)).status_code != wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{path} stays {response.status_code}: {self.log.read_text()}")
                time.sleep(0.02)
        return response

    def metrics(self) -> dict[str, float]:
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def until_metric(self, name: str, least: float) -> None:
        """Ask until the number has become this large."""
        deadline = time.monotonic() + 30
        while self.metrics()[name] < least:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} stays below {least}: {self.log.read_text()}")
            time.sleep(0.02)

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(uri: str, log: Path, *options: str, ready: bool = True) -> Iterator[Process]:
    running = Process(uri, log, "--drain-s", "0", *options)
    try:
        if ready:
            running.until("/v2/health/ready")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(30)


def png(pixels_HW3: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels_HW3).save(stream, "PNG")
    return stream.getvalue()


def asked(*files: bytes, **more: Any) -> dict[str, Any]:
    """A request about image files, in JSON."""
    data = [base64.b64encode(file).decode() for file in files]
    return {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [len(files)], "data": data}], **more}


def outputs(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def with_header(document: dict[str, Any], raw: bytes) -> dict[str, Any]:
    """Keyword arguments of httpx.post for the binary extension."""
    header = json.dumps(document).encode()
    return {"content": header + raw, "headers": {"Inference-Header-Content-Length": str(len(header))}}


def next_scaled(make: Maker, store: Store, scale: float) -> Path:
    """The next bundle, told from the others by how sure its model is: P(red) = sigmoid(scale * 240 / 255)."""
    sources = make.folder / f"scaled{make.made}"
    sources.mkdir(parents=True)
    (sources / "model.onnx").write_bytes(network(scale).SerializeToString())
    arguments = make.arguments()
    canaries = [
        type(canary)(canary.image, expected_logits(colour, scale), canary.gate)
        for canary, colour in zip(arguments["canaries"], ((250, 10, 10), (10, 10, 250), (128, 128, 128)), strict=True)
    ]
    return next_bundle(make, store, model=sources / "model.onnx", canaries=canaries)
