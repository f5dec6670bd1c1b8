"""Reading every listed image once: its digest, whether it decodes, its size and looks; and the budget of bad images."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stage1 import events
from stage1.data.decode import decode
from stage1.data.listing import Listing
from stage1.data.lookalikes import perceptual_hash
from stage1.data.origin import Origin
from stage1.data.pool import num_cpus, ordered_map
from stage1.errors import BadData, BadImage

_CHUNK = 64
_SHOWN = 5


@dataclass(frozen=True)
class Scan:
    """What was found in N listed images, in their order.

    Attributes:
        digests: [N, 32], SHA-256 of the bytes; zeros where the image is bad.
        sizes: [N, 2], width and height of the upright picture; zeros where the image is bad.
        looks: [N], perceptual hash, 64 bits; zero where there is none.
        looked: [N], whether there is one: not for bad images, pictures without contrast, or where none was asked for.
        num_bytes: [N], bytes of the encoded image.
        bad: (index, reason) of each bad image, ascending; reasons are keys of decode.REASONS.
    """

    digests: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    looks: NDArray[np.uint64]
    looked: NDArray[np.bool_]
    num_bytes: NDArray[np.int64]
    bad: list[tuple[int, str]]

    @classmethod
    def empty(cls, total: int) -> "Scan":
        """Return a scan that found nothing yet."""
        return cls(
            np.zeros((total, 32), np.uint8),
            np.zeros((total, 2), np.int32),
            np.zeros(total, np.uint64),
            np.zeros(total, bool),
            np.zeros(total, np.int64),
            [],
        )


def scan(
    listings: Sequence[Listing],
    *,
    max_pixels: int,
    max_bad_fraction: float,
    looks: bool = True,
    num_threads: int | None = None,
) -> Scan:
    """Read and decode each image.

    Args:
        listings: The images, one source after another.
        max_pixels: Larger images are bad.
        max_bad_fraction: Budget, a fraction of the listed images.
        looks: Whether to compute perceptual hashes.
        num_threads: Default: the processors of this process.

    Raises:
        BadData: More images are bad than the budget allows; the message has the counts and the first few.
        StorageError: The object store failed, after retries; the message names the key.
    """
    total = sum(listing.table.num_rows for listing in listings)
    found = Scan.empty(total)
    threads = num_threads or num_cpus()
    said = time.monotonic()
    events.progress(0, total, "image")
    start = 0
    for listing in listings:
        origin, uris, count = listing.origin, listing.table["uri"], listing.table.num_rows

        def examine(begin: int) -> list[tuple[int, str]]:
            names = uris.slice(begin, _CHUNK).to_pylist()  # noqa: B023 - all chunks are done before the next source
            return _examine(origin, names, start + begin, found, max_pixels, looks)  # noqa: B023

        chunks = ordered_map(examine, range(0, count, _CHUNK), num_threads=threads, ahead=4 * threads)
        for done, failures in enumerate(chunks, start=1):
            found.bad.extend(failures)
            if time.monotonic() - said > 0.5:
                said = time.monotonic()
                events.progress(min(start + done * _CHUNK, total), total, "image")
        start += count
    events.progress(total, total, "image")
    _check_budget(listings, found.bad, total, max_bad_fraction)
    return found


def _examine(
    origin: Origin, uris: Sequence[str], start: int, found: Scan, max_pixels: int, looks: bool
) -> list[tuple[int, str]]:
    failures = []
    for index, uri in enumerate(uris, start=start):
        try:
            data = origin.read(uri, max_pixels=max_pixels)
            picture = decode(data, max_pixels=max_pixels)
        except BadImage as error:
            failures.append((index, error.reason))
            continue
        found.sizes[index] = picture.size
        found.digests[index] = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
        found.num_bytes[index] = len(data)
        look = perceptual_hash(picture) if looks else None
        if look is not None:
            found.looks[index], found.looked[index] = look, True
    return failures


def named(listings: Sequence[Listing], index: int) -> str:
    """Return the uri of a row of the listings one after another."""
    for listing in listings:
        if index < listing.table.num_rows:
            return str(listing.table["uri"][index].as_py())
        index -= listing.table.num_rows
    raise IndexError(index)


def _check_budget(listings: Sequence[Listing], bad: list[tuple[int, str]], total: int, max_bad_fraction: float) -> None:
    if len(bad) <= max_bad_fraction * total:
        return
    counts = ", ".join(f"{count:,} {reason}" for reason, count in Counter(reason for _, reason in bad).most_common())
    first = "; ".join(f"{named(listings, index)} ({reason})" for index, reason in bad[:_SHOWN])
    raise BadData(
        f"{len(bad):,} of {total:,} images cannot be used ({counts}); the budget max_bad_fraction="
        f"{max_bad_fraction:g} allows {int(max_bad_fraction * total):,}. First: {first}. "
        "Mend or remove them, or raise max_bad_fraction."
    )
