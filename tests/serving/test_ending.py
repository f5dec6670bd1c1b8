"""SIGTERM: not ready at once, still answering for a while, then nothing new, and what was asked is answered."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.bundle.making import RED, Maker, picture
from tests.serving.process import MODEL, asked, outputs, png, serving

INFER = f"{MODEL}/infer"
REQUEST = asked(png(picture(RED)))


def test_a_request_that_has_begun_is_answered(make: Maker, tmp_path: Path) -> None:
    began, found = threading.Event(), []
    with serving(str(make.path()), tmp_path / "log") as process:
        body = httpx.Request("POST", "http://x", json=REQUEST).content

        def slowly() -> Iterator[bytes]:
            yield body[:10]
            began.set()
            time.sleep(1)
            yield body[10:]

        def ask() -> None:
            with process.client() as client:
                found.append(client.post(INFER, content=slowly()))

        caller = threading.Thread(target=ask)
        caller.start()
        began.wait(10)
        time.sleep(0.2)
        status = process.terminate()
        caller.join()
    assert outputs(found[0])["label"] == ["roadwork"]
    assert status == 0


def test_callers_that_obey_the_probe_lose_nothing(make: Maker, tmp_path: Path) -> None:
    """Four callers with open connections ask until the probe says not ready; the server leaves after that."""
    statuses: list[int] = []
    with serving(str(make.path()), tmp_path / "log", "--drain-s", "1") as process:

        def ask() -> None:
            with process.client() as client:
                while client.get("/v2/health/ready").status_code == 200:
                    statuses.append(client.post(INFER, json=REQUEST).status_code)
                statuses.append(client.post(INFER, json=REQUEST).status_code)

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        time.sleep(0.3)
        began = time.monotonic()
        status = process.terminate()
        took = time.monotonic() - began
        for caller in callers:
            caller.join()
    assert (set(statuses), status) == ({200}, 0)
    assert len(statuses) > 8
    assert 1 <= took < 5
