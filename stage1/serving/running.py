"""The server's process: what it serves, its signals, its end."""

import logging
import signal
import socket
from dataclasses import dataclass
from types import FrameType

import uvicorn

from stage1.bundle import Bundle, Channel
from stage1.serving.app import Server
from stage1.serving.drift import Window
from stage1.serving.following import Follower, Load
from stage1.serving.limits import Limits
from stage1.serving.metrics import Metrics
from stage1.serving.served import Served

_LOG = logging.getLogger("stage1.serving")
_BACKLOG = 2048


@dataclass(frozen=True)
class Fixed:
    """One bundle for good."""

    served: Served


def serve(
    source: Bundle | Channel, load: Load, *, host: str, port: int, limits: Limits, model_name: str | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C, and then until what was asked is answered.

    Args:
        source: A loaded bundle, or a channel to follow.
        load: How a bundle of the channel is verified and loaded.
        host: Address to listen on.
        port: 0 takes a free one; the log says which.
        limits: Bounds.
        model_name: In the addresses; None takes the bundle's own name.

    Raises:
        OSError: The address cannot be had.
    """
    metrics = Metrics()
    follower = None
    if isinstance(source, Bundle):
        fixed = Fixed(Served(source, source.manifest.sequence, Window(source.reference, limits.window)))
        metrics.watch(lambda: fixed.served, lambda: 0.0, lambda: 0.0)
        server = Server(fixed, metrics, limits, model_name=model_name)
    else:
        follower = Follower(source, load, metrics, poll_s=limits.poll_s, window=limits.window)
        server = Server(follower, metrics, limits, model_name=model_name)
    with socket.create_server((host, port), backlog=_BACKLOG, family=_family(host)) as listening:
        # asyncio sets this only on sockets that name their protocol; without it, answers wait 40 ms for a delayed ACK.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _LOG.info("listening on http://%s:%d", host, listening.getsockname()[1])
        if follower is not None:
            follower.start()
        _Process(server, limits).run([listening])
    if follower is not None:
        follower.stop()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Process(uvicorn.Server):
    """On SIGTERM first not ready, then no new connections, then the end.

    A load balancer learns from the probe that this server leaves; until it has learned, requests still come, and they
    are answered.
    """

    def __init__(self, server: Server, limits: Limits) -> None:
        super().__init__(
            uvicorn.Config(
                server.app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                timeout_graceful_shutdown=int(limits.shutdown_s) + 1,
            )
        )
        self._server, self._ticks_left = server, -1
        self._drain_ticks = int(limits.drain_s * 10)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM drains; a second one, or Ctrl-C, does not wait."""
        if sig == signal.SIGTERM and not self._server.draining:
            _LOG.info("draining")
            self._server.draining = True
            self._ticks_left = self._drain_ticks
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._server.draining:
            self._ticks_left -= 1
            self.should_exit = self.should_exit or self._ticks_left < 0
        return await super().on_tick(counter)
