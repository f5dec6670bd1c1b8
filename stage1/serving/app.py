"""The Open Inference Protocol v2 over HTTP, and /metrics.

    GET  /v2, /v2/health/live, /v2/health/ready
    GET  /v2/models/{name}[/versions/{version}][/ready]
    POST /v2/models/{name}[/versions/{version}]/infer

Protocol: https://github.com/kserve/open-inference-protocol (REST, required API), with binary_tensor_data.
"""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stage1 import __version__
from stage1.errors import BadImage
from stage1.serving.binary import HEADER
from stage1.serving.house import House
from stage1.serving.limits import Limits
from stage1.serving.metrics import Metrics
from stage1.serving.refusal import Refusal
from stage1.serving.request import read_request
from stage1.serving.response import check_outputs, model_metadata, write_response
from stage1.serving.served import Served

_LOG = logging.getLogger("stage1.serving")
_CLOSED_REQUEST = 499


class Source(Protocol):
    """Where the bundle comes from: a channel, or one bundle for good."""

    @property
    def served(self) -> Served | None:
        """What answers now; None before the first bundle is loaded."""
        ...


class Server:
    """The endpoints. `draining` set: the probe says not ready, answers close their connections."""

    def __init__(self, source: Source, metrics: Metrics, limits: Limits, *, model_name: str | None = None) -> None:
        """Serve what `source` holds.

        Args:
            source: Asked once a request.
            metrics: Counts them.
            limits: Bounds them.
            model_name: In the addresses; None takes the bundle's own.
        """
        self.draining = False
        self._source, self._metrics, self._limits, self._name = source, metrics, limits, model_name
        self._house = House(limits, metrics)
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        self.app = Starlette(
            routes=[
                Route("/v2", self._server),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                *(Route(path, self._model) for path in (model, version)),
                *(Route(f"{path}/ready", self._model_ready) for path in (model, version)),
                *(Route(f"{path}/infer", self._infer, methods=["POST"]) for path in (model, version)),
                Route("/metrics", self._read_metrics),
            ],
            exception_handlers={Refusal: _refused, HTTPException: _http_error, Exception: _fault},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._house.close()

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": "stage1", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        ready = self._source.served is not None and not self.draining
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        served = self._found(request)
        return JSONResponse(model_metadata(request.path_params["name"], served.bundle))

    async def _model_ready(self, request: Request) -> Response:
        self._found(request)
        return JSONResponse({"name": request.path_params["name"], "ready": not self.draining},
                            503 if self.draining else 200)  # fmt: skip

    def _found(self, request: Request) -> Served:
        """The bundle that the address names."""
        served = self._source.served
        if served is None:
            raise Refusal(503, "No bundle is loaded yet.", retry_after_s=1)
        manifest = served.bundle.manifest
        name, version = request.path_params["name"], request.path_params.get("version", manifest.version)
        if name != (self._name or manifest.name):
            raise Refusal(404, f"There is no model {name[:100]!r} here, there is {self._name or manifest.name!r}.")
        if version != manifest.version:
            raise Refusal(404, f"Version {version[:100]!r} is not served, {manifest.version!r} is.")
        return served

    async def _infer(self, request: Request) -> Response:
        began = time.monotonic()
        response = await self._answered(request)
        if self.draining:
            response.headers["connection"] = "close"
        self._metrics.requests.labels(str(response.status_code)).inc()
        self._metrics.seconds.observe(time.monotonic() - began)
        return response

    async def _answered(self, request: Request) -> Response:
        try:
            with self._house.place():
                self._found(request)  # says 404 and 503 before a body is read
                if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
                    raise Refusal(415, f"A body must come as it is, got content-encoding {encoding[:50]!r}.")
                body = await self._house.body(request)
                served = self._found(request)
                return await self._house.work(lambda: self._decide(request, served, body))
        except Refusal as refusal:
            return await _refused(request, refusal)
        except ClientDisconnect:
            return Response(status_code=_CLOSED_REQUEST)
        except Exception as error:  # noqa: BLE001 - one request's fault is no reason to lose the count of it
            return await _fault(request, error)

    def _decide(self, request: Request, served: Served, body: bytes) -> Response:
        """Everything that takes time: reading JSON and base64, decoding, the model, writing."""
        asked = read_request(
            body,
            request.headers.get(HEADER),
            image_size=served.bundle.manifest.preprocessing["image_size"],
            max_images=self._limits.max_images,
        )
        check_outputs(asked)
        try:
            answers, outcomes = served.decide(asked.images)
        except BadImage as error:
            raise Refusal(413 if error.reason == "too_large" else 400, str(error)) from error
        for outcome in outcomes:
            self._metrics.images.labels(outcome).inc()
        content, header_length = write_response(request.path_params["name"], served.bundle, asked, answers)
        if header_length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER: str(header_length)})

    async def _read_metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        content = await run_in_threadpool(encode, self._metrics.registry)
        return Response(content, headers={"content-type": content_type})


async def _refused(_: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal(500, str(error))
    after = {"retry-after": str(refusal.retry_after_s)} if refusal.retry_after_s is not None else {}
    return JSONResponse({"error": str(refusal)}, refusal.status, headers=after)


async def _http_error(request: Request, error: Exception) -> Response:
    """No such address, or a method that it does not have."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = f"{request.method} {request.url.path[:200]}: {getattr(error, 'detail', 'failed')}"
    return JSONResponse({"error": text}, status, headers=getattr(error, "headers", None))


async def _fault(_: Request, error: Exception) -> Response:
    """What no caller can mend: logged whole, said without its insides."""
    _LOG.error("a request failed", exc_info=error)
    return JSONResponse({"error": "The server failed on this request; its log says why."}, 500)
