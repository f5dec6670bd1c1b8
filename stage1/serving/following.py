"""Serving what a channel points at: each promotion is loaded beside the bundle that answers, then takes its place.

A store that cannot be reached, a pointer that cannot be read and a bundle that is rejected have one consequence: what
is served goes on being served, and that is logged and counted.
"""

import logging
import threading
import time
from collections.abc import Callable

from stage1.bundle import Bundle, Channel, Pointer
from stage1.errors import BundleRejected, StorageError
from stage1.serving.drift import Window
from stage1.serving.metrics import Metrics
from stage1.serving.served import Served

_LOG = logging.getLogger("stage1.serving")
_LONGEST_PAUSE_S = 300.0

Load = Callable[[], Bundle]


class Follower:
    """Reads the channel every `poll_s` seconds, in a thread of its own."""

    def __init__(self, channel: Channel, load: Load, metrics: Metrics, *, poll_s: float, window: int) -> None:
        """Follow `channel`; nothing is read before `poll` or `start`.

        Args:
            channel: Where promotions appear.
            load: Verifies and loads what the channel points at then; raises BundleRejected.
            metrics: Where swaps, rejections and failed reads are counted.
            poll_s: Seconds between two reads.
            window: Images over which drift is measured.
        """
        self.served: Served | None = None
        self._channel, self._load, self._metrics = channel, load, metrics
        self._poll_s, self._window = poll_s, window
        self._highest = 0
        self._read_at = time.monotonic()
        self._behind_since: float | None = None
        self._failed: tuple[str, int] = ("", 0)
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)
        metrics.watch(lambda: self.served, self.lag_s, self.age_s)

    def start(self) -> None:
        """Read now and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. A load under way is not waited for."""
        self._stop.set()

    def lag_s(self) -> float:
        """Seconds for which the channel has pointed at something else than what is served."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    def age_s(self) -> float:
        """Seconds since the channel was last read."""
        return time.monotonic() - self._read_at

    def poll(self) -> None:
        """Read the channel once, and serve what it points at."""
        try:
            pointer = self._channel.read()
        except StorageError as error:
            self._metrics.channel_errors.inc()
            _LOG.warning("channel %s could not be read, serving goes on: %s", self._channel.name, error)
            return
        if pointer is None and self.served is not None:
            self._metrics.channel_errors.inc()
            _LOG.warning("channel %s is gone, serving goes on", self._channel.name)
            return
        self._read_at = time.monotonic()
        if pointer is None:
            _LOG.warning("channel %s points at nothing yet", self._channel.name)
            return
        self._metrics.channel_sequence.set(pointer.sequence)
        if self.served is not None and pointer.sequence == self.served.sequence:
            self._behind_since = None
            return
        if self._behind_since is None:
            self._behind_since = self._read_at
        if pointer.digest != self._failed[0] or self._read_at >= self._retry_at:
            self._take(pointer)

    def _take(self, pointer: Pointer) -> None:
        try:
            if pointer.sequence < self._highest:
                raise BundleRejected(
                    f"the channel went back from sequence {self._highest} to {pointer.sequence}; a rollback raises it"
                )
            bundle = self._same(pointer) or self._load()
        except BundleRejected as error:
            self._rejected(pointer, error)
            return
        # Where the channel moved once more meanwhile, the next poll finds this sequence behind and the bundle there.
        before, self._highest = self.served, pointer.sequence
        self.served = Served(bundle, pointer.sequence, Window(bundle.reference, self._window))
        self._behind_since, self._failed = None, ("", 0)
        if before is not None:
            self._metrics.swaps.inc()
        _LOG.info("serving %s %s, sequence %d, %s", bundle.manifest.name, bundle.manifest.version, pointer.sequence,
                  bundle.digest)  # fmt: skip

    def _same(self, pointer: Pointer) -> Bundle | None:
        served = self.served
        return served.bundle if served is not None and served.bundle.digest == pointer.digest else None

    def _rejected(self, pointer: Pointer, error: BundleRejected) -> None:
        """A fault of the network looks like a damaged bundle, so it is tried again, ever more rarely."""
        times = self._failed[1] + 1 if self._failed[0] == pointer.digest else 1
        self._failed = (pointer.digest, times)
        pause = min(_LONGEST_PAUSE_S, self._poll_s * 2 ** min(times, 20))
        self._retry_at = time.monotonic() + pause
        self._metrics.rejections.inc()
        _LOG.error("bundle %s was not taken into service, tried again in %.0f s: %s", pointer.digest, pause, error)

    def _run(self) -> None:
        while True:
            try:
                self.poll()
            except Exception:  # noqa: BLE001 - whatever it is, it must not end the thread that follows
                self._metrics.channel_errors.inc()
                _LOG.exception("following channel %s failed, serving goes on", self._channel.name)
            if self._stop.wait(self._poll_s):
                return
