"""How many requests are in the house: a place each from the first byte to the answer, threads for those that run.

Everything here but the work itself happens on the event loop, so that counting needs no lock.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import Request

from stage1.serving.limits import Limits
from stage1.serving.metrics import Metrics
from stage1.serving.refusal import Refusal

T = TypeVar("T")
_AGAIN_S = 1


class House:
    """Bounded places and threads."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._taken = 0
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="decide")
        metrics.most_in_progress.set(limits.queue)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            Refusal: 503 where all are taken.
        """
        if self._taken >= self._limits.queue:
            raise Refusal(503, f"{self._taken} requests are in progress already.", retry_after_s=_AGAIN_S)
        self._taken += 1
        self._metrics.in_progress.set(self._taken)
        try:
            yield
        finally:
            self._taken -= 1
            self._metrics.in_progress.set(self._taken)

    async def body(self, request: Request) -> bytes:
        """Return the request's body.

        Raises:
            Refusal: 413 where it is too large, 408 where it does not arrive.
        """
        most = self._limits.max_body_bytes
        said = request.headers.get("content-length", "0")
        if said.isdigit() and int(said) > most:
            raise _too_large(most)
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > most:
                        raise _too_large(most)
                    chunks.append(chunk)
        except TimeoutError:
            raise Refusal(408, f"The body did not arrive within {self._limits.body_timeout_s:g} s.") from None
        return b"".join(chunks)

    async def work(self, task: Callable[[], T]) -> T:
        """Run the task in a thread; it waits where all threads are busy."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, task)

    def close(self) -> None:
        """Take no more work; what runs is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"A request may have {most:,} bytes. Send fewer images at a time, or smaller ones.")
