"""Work over many images in threads: results in order, a bounded number under way, and a clean stop."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(
    work: Callable[[Item], Result], items: Iterable[Item], *, num_threads: int, ahead: int
) -> Iterator[Result]:
    """Yield work(item) in the order of the items.

    Args:
        work: Called in `num_threads` threads; what it raises is raised here, at its place in the order.
        items: Taken lazily.
        num_threads: At least 1.
        ahead: Largest number of items under way beyond the one that is yielded next.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="stage1-images")
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
