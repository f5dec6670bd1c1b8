"""Too many, too slow, and the end: the server in this process, where its threads can be held."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from stage1.bundle import Bundle
from stage1.errors import BadInput
from stage1.serving.app import Server
from stage1.serving.drift import Window
from stage1.serving.limits import Limits
from stage1.serving.metrics import Metrics
from stage1.serving.running import Fixed
from stage1.serving.served import Served
from tests.bundle.making import RED, Maker, picture
from tests.serving.process import MODEL, asked, png

INFER = f"{MODEL}/infer"
REQUEST = asked(png(picture(RED)))


class Held(Served):
    """Answers when it is let go."""

    def decide(self, images: Any) -> Any:
        gate.wait(30)
        return super().decide(images)


gate = threading.Event()


def server(bundle: Bundle, **limits: Any) -> tuple[Server, Metrics]:
    metrics = Metrics()
    held = Held(bundle, 1, Window(None, 10))
    return Server(Fixed(held), metrics, Limits(**limits)), metrics


def asking(made: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(made.app), base_url="http://server")


@pytest.fixture
def bundle(make: Maker) -> Bundle:
    gate.clear()
    return make()


def test_one_more_than_the_queue_holds_is_sent_away_and_the_others_are_answered(bundle: Bundle) -> None:
    made, metrics = server(bundle, workers=1, queue=3)

    async def run() -> None:
        async with asking(made) as client:
            waiting = [asyncio.create_task(client.post(INFER, json=REQUEST)) for _ in range(3)]
            while metrics.registry.get_sample_value("stage1_requests_in_progress") != 3:
                await asyncio.sleep(0.01)
            refused = await client.post(INFER, json=REQUEST)
            assert (refused.status_code, refused.headers["retry-after"], list(refused.json())) == (503, "1", ["error"])
            health = await client.get("/v2/health/ready")
            assert health.status_code == 200, "health does not wait for a thread"
            gate.set()
            assert [(await task).status_code for task in waiting] == [200, 200, 200]
            assert (await client.post(INFER, json=REQUEST)).status_code == 200

    asyncio.run(run())
    assert metrics.registry.get_sample_value("stage1_requests_total", {"status": "503"}) == 1
    assert metrics.registry.get_sample_value("stage1_requests_in_progress") == 0


def test_a_body_that_does_not_arrive_is_408_and_gives_its_place_back(bundle: Bundle) -> None:
    made, _ = server(bundle, queue=1, body_timeout_s=0.2)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)

    async def run() -> None:
        async with asking(made) as client:
            gate.set()
            response = await client.post(INFER, content=slowly())
            assert (response.status_code, list(response.json())) == (408, ["error"])
            assert (await client.post(INFER, json=REQUEST)).status_code == 200

    asyncio.run(run())


def test_a_fault_is_500_without_its_insides_and_is_counted(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made, metrics = server(bundle)
    monkeypatch.setattr(Bundle, "decide", lambda *_: 1 / 0)
    gate.set()

    async def run() -> httpx.Response:
        async with asking(made) as client:
            return await client.post(INFER, json=REQUEST)

    response = asyncio.run(run())
    assert (response.status_code, list(response.json())) == (500, ["error"])
    assert "division" not in response.text
    assert "ZeroDivisionError" in caplog.text
    assert metrics.registry.get_sample_value("stage1_requests_total", {"status": "500"}) == 1


def test_while_it_drains_it_is_not_ready_but_answers_and_closes(bundle: Bundle) -> None:
    made, _ = server(bundle)
    made.draining = True
    gate.set()

    async def run() -> None:
        async with asking(made) as client:
            assert [(await client.get(path)).status_code for path in ("/v2/health/live", "/v2/health/ready",
                                                                     f"{MODEL}/ready")] == [200, 503, 503]  # fmt: skip
            response = await client.post(INFER, json=REQUEST)
            assert (response.status_code, response.headers["connection"]) == (200, "close")

    asyncio.run(run())


def test_a_model_can_be_served_under_another_name(bundle: Bundle) -> None:
    gate.set()
    made = Server(Fixed(Served(bundle, 1, Window(None, 10))), Metrics(), Limits(), model_name="road-work")

    async def run() -> None:
        async with asking(made) as client:
            response = await client.post("/v2/models/road-work/infer", json=REQUEST)
            assert (response.status_code, response.json()["model_name"]) == (200, "road-work")
            assert (await client.post(INFER, json=REQUEST)).status_code == 404

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"queue": 0}, {"max_images": 0}, {"drain_s": -1.0}, {"poll_s": float("nan")}]
)
def test_impossible_limits_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Limits(**wrong)
