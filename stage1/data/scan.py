"""Reading every listed image once: its digest, whether it decodes, its size; and the budget of bad images."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stage1 import events
from stage1.data.decode import decode, read_bytes
from stage1.data.pool import num_cpus, ordered_map
from stage1.errors import BadData, BadImage

_CHUNK = 64
_SHOWN = 5


@dataclass(frozen=True)
class Scan:
    """What was found in N listed files, in their order.

    Attributes:
        digests: [N, 32], SHA-256 of the bytes; zeros where the image is bad.
        sizes: [N, 2], width and height of the upright picture; zeros where the image is bad.
        bad: (index, reason) of each bad image, ascending; reasons are keys of decode.REASONS.
    """

    digests: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    bad: list[tuple[int, str]]


def scan(
    root: Path, uris: Sequence[str], *, max_pixels: int, max_bad_fraction: float, num_threads: int | None = None
) -> Scan:
    """Read and decode each file.

    Args:
        root: Folder that the uris start from.
        uris: POSIX paths relative to the root.
        max_pixels: Larger images are bad.
        max_bad_fraction: Budget, a fraction of the listed files.
        num_threads: Default: the processors of this process.

    Raises:
        BadData: More images are bad than the budget allows; the message has the counts and the first few.
    """
    total = len(uris)
    digests_N32 = np.zeros((total, 32), np.uint8)
    sizes_N2 = np.zeros((total, 2), np.int32)
    bad: list[tuple[int, str]] = []

    def examine(start: int) -> list[tuple[int, str]]:
        failures = []
        for index in range(start, min(start + _CHUNK, total)):
            try:
                data = read_bytes(root / uris[index], max_pixels=max_pixels)
                sizes_N2[index] = decode(data, max_pixels=max_pixels).size
                digests_N32[index] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
            except BadImage as error:
                failures.append((index, error.reason))
        return failures

    threads = num_threads or num_cpus()
    said = time.monotonic()
    events.progress(0, total, "image")
    for done, failures in enumerate(
        ordered_map(examine, range(0, total, _CHUNK), num_threads=threads, ahead=4 * threads), start=1
    ):
        bad += failures
        if time.monotonic() - said > 0.5:
            said = time.monotonic()
            events.progress(min(done * _CHUNK, total), total, "image")
    events.progress(total, total, "image")
    _check_budget(uris, bad, max_bad_fraction)
    return Scan(digests_N32, sizes_N2, bad)


def _check_budget(uris: Sequence[str], bad: list[tuple[int, str]], max_bad_fraction: float) -> None:
    if len(bad) <= max_bad_fraction * len(uris):
        return
    counts = ", ".join(f"{count:,} {reason}" for reason, count in Counter(reason for _, reason in bad).most_common())
    first = "; ".join(f"{uris[index]} ({reason})" for index, reason in bad[:_SHOWN])
    raise BadData(
        f"{len(bad):,} of {len(uris):,} images cannot be used ({counts}); the budget max_bad_fraction="
        f"{max_bad_fraction:g} allows {int(max_bad_fraction * len(uris)):,}. First: {first}. "
        "Mend or remove them, or raise max_bad_fraction."
    )
