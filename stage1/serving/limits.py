"""What one server takes on."""

import os
from dataclasses import dataclass, field

from stage1.errors import BadInput


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """Bounds on time and memory; a request beyond one is refused with the number.

    Memory for bodies is at most `queue` times `max_body_bytes`.

    Attributes:
        workers: Threads that decode images and run the model.
        queue: Inference requests that are read, wait or run at one time; more get 503 with Retry-After.
        max_body_bytes: Of one request.
        max_images: In one request.
        body_timeout_s: For a request's body to arrive.
        drain_s: After SIGTERM, how long new requests are still answered while the probe says not ready.
        shutdown_s: After that, how long requests that run may take.
        poll_s: Between two looks at the channel.
        window: Latest images over which drift is measured.
    """

    workers: int = field(default_factory=_num_cores)
    queue: int = 64
    max_body_bytes: int = 32 << 20
    max_images: int = 64
    body_timeout_s: float = 30.0
    drain_s: float = 5.0
    shutdown_s: float = 25.0
    poll_s: float = 5.0
    window: int = 2000

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("queue", 1), ("max_body_bytes", 1), ("max_images", 1), ("window", 1)):
            if getattr(self, name) < least:
                raise BadInput(f"Need {name} of at least {least}, got {getattr(self, name)}.")
        for name in ("body_timeout_s", "drain_s", "shutdown_s", "poll_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadInput(f"Need {name} of 0 seconds or more, got {getattr(self, name)}.")
