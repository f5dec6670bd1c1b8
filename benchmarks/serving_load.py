"""The HTTP server under load on the loopback: latency, requests a second, and what HTTP costs beside plain decide().

    python benchmarks/serving_load.py [--quick] [--bundle FOLDER]

Two parts. (1) One bundle of ViT-Ti's cost, the same JPEG images over HTTP and in process, with as many threads on both
sides; the ratio is served images a second over images a second in process, the median of three turns. (2) A network
that costs nothing, so that HTTP is all there is, and twenty promotions while requests come without a pause; not one of
them may fail.

Load generators: threads with httpx for part 1, wrk for part 2 (apt-get install wrk). They run on the same cores as the
server, and their share is not taken off.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from stage1.bundle import Bundle, promote
from stage1.serving.binary import HEADER
from stage1.serving.limits import Limits
from stage1.storage import open_store
from tests.bundle.making import Maker
from tests.bundle.test_publishing import next_bundle
from tests.serving.process import serving

SCRIPT = """
wrk.method = "POST"
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
file:close()
wrk.headers["{header}"] = "{length}"
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format('{{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"failed":%d}}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def jpeg() -> bytes:
    """One image of 640 x 480."""
    stream = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    Image.fromarray(picture).save(stream, "jpeg", quality=90)
    return stream.getvalue()


def request(images: list[bytes]) -> tuple[bytes, int]:
    """The body that asks about image files, and the length of its JSON part."""
    raw = b"".join(len(image).to_bytes(4, "little") + image for image in images)
    tensor = {"name": "images", "datatype": "BYTES", "shape": [len(images)]}
    header = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    return header + raw, len(header)


def wrk(url: str, image: bytes, folder: Path, connections: int, seconds: int) -> Any:
    """Ask about one image, again and again on each connection; what wrk found."""
    body, length = request([image])
    (folder / "body").write_bytes(body)
    (folder / "ask.lua").write_text(SCRIPT.format(body=folder / "body", header=HEADER, length=length))
    done = subprocess.run(  # noqa: S603
        [
            *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
            *("--timeout", "30s", "--script", str(folder / "ask.lua"), url),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stderr)


def measured(call: Callable[[], Any], callers: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second from so many threads, and the seconds of each; a call that has begun is waited for."""

    def ask(until: float) -> list[float]:
        took = []
        while (began := time.perf_counter()) < until:
            call()
            took.append(time.perf_counter() - began)
        return took

    began = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        took = [each for some in pool.map(ask, [began + seconds] * callers) for each in some]
    return len(took) / (time.perf_counter() - began), took


def throughput(folder: Path, work: Path, seconds: int) -> None:
    """Part 1: served, in process, served, in process ...: a busy machine is busy for both."""
    bundle, image, workers = Bundle.load(folder), jpeg(), Limits().workers
    path = f"/v2/models/{bundle.manifest.name}/infer"
    with serving(str(folder), work / "log") as process, process.client() as client:
        print(
            f"{'images a request':>17}{'callers':>9}{'p50':>11}{'p99':>11}{'served':>13}{'in process':>13}{'ratio':>8}"
        )
        for size, callers in ((1, 1), (1, 4), (16, 4)):
            images = [image] * size
            body, length = request(images)

            def post(body: bytes = body, length: int = length) -> None:
                client.post(path, content=body, headers={HEADER: str(length)}).raise_for_status()

            def decide(images: list[bytes] = images) -> None:
                bundle.decide(images)

            served, plain, took = [], [], []
            for _ in range(3):
                rate, times = measured(post, callers, seconds / 3)
                served.append(rate * size)
                took += times
                plain.append(measured(decide, min(workers, callers), seconds / 3)[0] * size)
            p50, p99 = np.percentile(took, [50, 99]) * 1000
            ratio = statistics.median(s / p for s, p in zip(served, plain, strict=True))
            print(
                f"{size:>17}{callers:>9}{p50:>8.1f} ms{p99:>8.1f} ms{statistics.median(served):>8.1f} im/s"
                f"{statistics.median(plain):>8.1f} im/s{ratio:>8.3f}"
            )


def promotions(work: Path, seconds: int) -> None:
    """Part 2."""
    make, store = Maker(work / "made"), open_store(str(work / "store"))
    promote(store, "demo", next_bundle(make, store))
    found: dict[str, Any] = {}
    with serving(store.uri_of("channels/demo.json"), work / "log2") as process:
        name = "colours"
        image = io.BytesIO()
        Image.new("RGB", (16, 16), (250, 10, 10)).save(image, "PNG")
        url = f"{process.url}/v2/models/{name}/infer"
        asking = threading.Thread(target=lambda: found.update(wrk(url, image.getvalue(), work, 4, seconds)))
        asking.start()
        time.sleep(0.5)
        for _ in range(20):
            folder = next_bundle(make, store)
            version = promote(store, "demo", folder).sequence
            process.until(f"/v2/models/{name}/versions/{version}/ready")
        during = asking.is_alive()
        asking.join()
        numbers = process.metrics()
    if not during:
        raise SystemExit("the load ended before the last promotion: give more seconds")
    swaps = int(numbers["stage1_swaps_total"])
    print(
        f"tiny network, 4 callers, {swaps} promotions meanwhile: "
        f"{found['requests'] / found['seconds']:.0f} requests/s, "
        f"p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.1f} ms, "
        f"{found['failed']} of {found['requests']} failed"
    )
    if found["failed"] or swaps != 20:
        raise SystemExit("wanted: 20 swaps and no failed request")


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of tens of seconds")
    parser.add_argument("--bundle", type=Path, help="a bundle to measure; default: one of ViT-Ti's cost, made here")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        folder = given.bundle
        if folder is None:
            from consumer_latency import vit_bundle

            folder = vit_bundle(work, 224)
        throughput(folder, work, 6 if given.quick else 15)
        promotions(work, 20)


if __name__ == "__main__":
    main()
