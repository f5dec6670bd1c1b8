"""Images of manifest rows out of shards: fetched ahead whole, in the order in which they will be wanted.

Which images are wanted and when is decided elsewhere (stage1.data.order); this only has their bytes ready in time and
lets go of them after their last use. Labels come from the manifest, so a shard's own are for other programs.
"""

import hashlib
import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from webdataset.tariterators import group_by_keys, tar_file_expander  # type: ignore[import-untyped]

from stage1.data.manifest import Rows
from stage1.data.shards import INDEX, MAX_INDEX_BYTES, Shard, ShardIndex, rows_digest, series_of
from stage1.errors import BadArtifact, NotFound
from stage1.storage import open_reader

_FETCHES = 4
_KEPT_WITHOUT_PLAN = 4


class ShardedImages:
    """The bytes of rows, by index, from what `stage1 data shard` packed.

    Args:
        rows: Rows of a manifest: whole splits of it, with or without their unlabelled rows.
        uri: Where the shards are: a folder or s3://bucket/prefix.

    Raises:
        BadArtifact: There is no index, or it is that of another manifest.
        StorageError: It cannot be read.
    """

    def __init__(self, rows: Rows, uri: str) -> None:
        self._reader = open_reader(uri)
        self._ids = rows.table["id"].to_pylist()
        self._digests: list[bytes] = rows.table["digest"].to_pylist()
        self._shards: list[Shard] = []
        self.shard_N = np.empty(len(rows), np.int64)
        self._place_N = np.empty(len(rows), np.int64)
        self._members: list[NDArray[np.int64]] = []
        index = self._index()
        for name, members in series_of(rows).items():
            self._take_series(rows, members, index.series.get(name, ()), name)
        self._pool = ThreadPoolExecutor(_FETCHES, thread_name_prefix="stage1-shards")
        self._lock = threading.Lock()
        self._held: dict[int, Future[list[bytes]]] = {}
        self._plan: _Plan | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def address(self, index: int) -> str:
        """Return where the row's image is, for messages."""
        return f"{self._ids[index]} in {self._reader.uri}/{self._shards[self.shard_N[index]].key}"

    def read(self, index: int, *, max_pixels: int) -> bytes:  # noqa: ARG002 - the manifest's digest bounds the bytes
        """Return the bytes of row `index`, compared with the manifest's digest. Thread-safe.

        Raises:
            BadArtifact: The shard is gone or damaged, or holds something else.
            StorageError: It cannot be read.
        """
        shard = int(self.shard_N[index])
        with self._lock:
            future = self._future(shard)
        data: bytes = future.result()[self._place_N[index]]
        with self._lock:
            self._used(shard)
        if hashlib.sha256(data).digest() != self._digests[index]:
            raise BadArtifact(f"{self.address(index)} is not what was split. Pack again with `stage1 data shard`.")
        return data

    @contextmanager
    def ahead(self, order_M: NDArray[np.int64]) -> Iterator[None]:
        """Fetch shards ahead while the rows are read once each in about this order; nothing is held afterwards."""
        with self._lock:
            self._held.clear()
            self._plan = _Plan(self.shard_N[order_M])
            self._fetch_ahead()
        try:
            yield
        finally:
            with self._lock:
                self._plan = None
                for future in self._held.values():
                    future.cancel()
                self._held.clear()

    def _future(self, shard: int) -> Future[list[bytes]]:
        if shard not in self._held:
            self._held[shard] = self._pool.submit(self._fetch, shard)
        return self._held[shard]

    def _used(self, shard: int) -> None:
        """Let go of what is not wanted again."""
        if self._plan is None:
            while len(self._held) > _KEPT_WITHOUT_PLAN:
                del self._held[next(iter(self._held))]
        elif self._plan.is_last_use(shard):
            self._held.pop(shard, None)
            self._fetch_ahead()

    def _fetch_ahead(self) -> None:
        while self._plan and len(self._held) < self._plan.num_held and (shard := self._plan.next_shard()) is not None:
            self._future(shard)

    def _fetch(self, shard: int) -> list[bytes]:
        told = self._shards[shard]
        try:
            data = self._reader.read(told.key, max_bytes=told.num_bytes)
        except NotFound as error:
            raise BadArtifact(f"{error} The index names it: pack again with `stage1 data shard`.") from error
        ids = [self._ids[row] for row in self._members[shard]]
        return _images(data, ids, f"{self._reader.uri}/{told.key}")

    def _index(self) -> ShardIndex:
        try:
            data = self._reader.read(INDEX, max_bytes=MAX_INDEX_BYTES)
        except NotFound as error:
            raise BadArtifact(
                f"{self._reader.uri} has no {INDEX}: nothing was packed there, or not to the end. "
                "Run `stage1 data shard` with this address; it goes on where it stopped."
            ) from error
        return ShardIndex.from_bytes(data, f"{self._reader.uri}/{INDEX}")

    def _take_series(self, rows: Rows, members: NDArray[np.int64], shards: tuple[Shard, ...], name: str) -> None:
        """Compare every shard's name with the digest of the rows that should be in it, and note where each row is."""
        start = 0
        for shard in shards:
            part = members[start : start + shard.num_rows]
            if len(part) != shard.num_rows or rows_digest(rows, part)[:16] not in shard.key:
                break
            self.shard_N[part] = len(self._shards)
            self._place_N[part] = np.arange(len(part))
            self._members.append(part)
            self._shards.append(shard)
            start += shard.num_rows
        else:
            if start == len(members):
                return
        raise BadArtifact(
            f"The {name} shards in {self._reader.uri} are not those of this manifest. Pack it with `stage1 data shard` "
            "to an address of its own, and set `shards` to that."
        )


class _Plan:
    """The shards that a pass wants: in order of first use, and how often each is still to be used."""

    def __init__(self, shard_M: NDArray[np.int64]) -> None:
        shards_S, first_S, count_S = np.unique(shard_M, return_index=True, return_counts=True)
        last_S = len(shard_M) - 1 - np.unique(shard_M[::-1], return_index=True)[1]
        self._left: dict[int, int] = dict(zip(shards_S.tolist(), count_S.tolist(), strict=True))
        self._coming: Iterator[int] = iter(shards_S[np.argsort(first_S)].tolist())
        # Shards that are in use at one time, and as many for what comes next.
        begun_S = np.searchsorted(np.sort(first_S), last_S, side="right")
        ended_S = np.searchsorted(np.sort(last_S), last_S, side="left")
        self.num_held = 2 * int((begun_S - ended_S).max(initial=1))

    def is_last_use(self, shard: int) -> bool:
        """Count one use."""
        self._left[shard] = self._left.get(shard, 1) - 1
        return self._left[shard] == 0

    def next_shard(self) -> int | None:
        """Return the next shard to fetch, None after the last."""
        return next(self._coming, None)


def _images(data: bytes, ids: list[str], address: str) -> list[bytes]:
    """Return the images of a shard, which must be these, in this order.

    webdataset would unpack a compressed tar of any size; beginning with the first row's name, this is not one.
    """
    if not data.startswith(f"{ids[0]}.".encode()):
        raise BadArtifact(f"{address} does not begin with image {ids[0]}. Pack again with `stage1 data shard`.")
    try:
        samples = list(group_by_keys(tar_file_expander([{"url": address, "stream": io.BytesIO(data)}])))
        images = [
            next(value for name, value in sample.items() if name != "cls" and name[0] != "_") for sample in samples
        ]
    except Exception as error:  # a damaged tar raises many things
        raise BadArtifact(f"{address} is damaged: {error}. Pack again with `stage1 data shard`.") from error
    found = [sample["__key__"] for sample in samples]
    if found != ids:
        raise BadArtifact(
            f"{address} has not the {len(ids):,} images of its rows. Pack again with `stage1 data shard`."
        )
    return images
