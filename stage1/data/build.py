"""From a data set's location to its manifest and split report: list, read every image once, divide, report."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.manifest import SCHEMA, SPLITS, Manifest, data_digest
from stage1.data.report import split_report
from stage1.data.scan import Scan, scan
from stage1.data.sources import read_source
from stage1.data.splits import merge_copies
from stage1.errors import BadData


def make_split(data: str, config: SplitConfig, *, num_threads: int | None = None) -> tuple[Manifest, dict[str, Any]]:
    """Return the manifest of a data set and the split report (the content of split.json).

    Args:
        data: Folder with one sub-folder per class, or a .csv or .parquet sheet.
        config: See SplitConfig.
        num_threads: For reading images; default: the processors of this process. Does not change the result.

    Raises:
        BadData: The data set cannot be used, too many images are bad, or one image has two labels.
    """
    listing = read_source(data, config)
    found = scan(
        listing.root,
        listing.table["uri"].to_pylist(),
        max_pixels=config.max_pixels,
        max_bad_fraction=config.max_bad_fraction,
        num_threads=num_threads,
    )
    manifest, num_joined = _manifest(listing, found, config)
    uris = listing.table["uri"]
    skipped = listing.ignored + [(uris[index].as_py(), reason) for index, reason in found.bad]
    return manifest, split_report(data, manifest, config, skipped=skipped, groups_merged=num_joined)


def _manifest(listing: Listing, found: Scan, config: SplitConfig) -> tuple[Manifest, int]:
    good = np.ones(len(found.digests), bool)
    good[[index for index, _ in found.bad]] = False
    listed = listing.table.filter(pa.array(good))
    digests_N32, sizes_N2 = found.digests[good], found.sizes[good]
    if len(np.unique(listed["label"].to_numpy())) < 2:
        raise BadData(f"Need readable images of both classes, {' and '.join(listing.class_names)}; one has none left.")

    order = _order(digests_N32, listed["uri"])
    listed, digests_N32, sizes_N2 = listed.take(pa.array(order)), digests_N32[order], sizes_N2[order]
    digests = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(order), [None, pa.py_buffer(digests_N32)])
    names = _hex16(digests_N32)
    _refuse_two_labels(digests, listed)

    fractions = config.fractions.model_dump()
    groups = pc.coalesce(listed["group"].combine_chunks(), names)
    groups, split_N, num_joined = merge_copies(groups, digests, config.salt, fractions)
    table = pa.table(
        {
            "id": _unique(names, digests_N32),
            "uri": listed["uri"],
            "digest": digests,
            "label": listed["label"],
            "group": groups,
            "split": pa.array(SPLITS).take(pa.array(split_N)),
            "source": pc.fill_null(listed["source"], ""),
            "width": sizes_N2[:, 0],
            "height": sizes_N2[:, 1],
        }
    ).cast(SCHEMA)
    manifest = Manifest(table, listing.root, config.salt, fractions, listing.class_names, data_digest(table))
    return manifest, num_joined


def _order(digests_N32: NDArray[np.uint8], uris: pa.ChunkedArray) -> NDArray[np.int64]:
    """Sort by digest, and copies by uri."""
    by_uri = pc.sort_indices(uris).to_numpy()
    words_N4 = digests_N32[by_uri].view(">u8")
    return np.asarray(by_uri[np.lexsort(words_N4.T[::-1])], dtype=np.int64)


def _hex16(digests_N32: NDArray[np.uint8]) -> pa.Array:
    """Return the first 16 hex digits of each digest."""
    text = digests_N32[:, :8].tobytes().hex().encode()
    offsets = np.arange(len(digests_N32) + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(len(digests_N32), pa.py_buffer(offsets), pa.py_buffer(text))


def _unique(names: pa.Array, digests_N32: NDArray[np.uint8]) -> pa.Array:
    """Append -1, -2 ... to names that were used in earlier rows; equal names stand side by side."""
    prefix_N = np.ascontiguousarray(digests_N32[:, :8]).view(">u8")[:, 0]
    begins_N = np.diff(prefix_N, prepend=prefix_N[:1] ^ np.uint64(1)) != 0
    rows_N = np.arange(len(prefix_N))
    copy_N = rows_N - np.maximum.accumulate(np.where(begins_N, rows_N, 0))
    again = copy_N > 0
    numbered = [f"{names[int(row)].as_py()}-{copy_N[row]}" for row in np.flatnonzero(again)]
    return pc.replace_with_mask(names, pa.array(again), pa.array(numbered, pa.string()))


def _refuse_two_labels(digests: pa.Array, listed: pa.Table) -> None:
    code_N = digests.dictionary_encode().indices.to_numpy()
    label_N = listed["label"].to_numpy()
    copies_D = np.bincount(code_N)
    positives_D = np.bincount(code_N, weights=label_N)
    torn_D = (positives_D > 0) & (positives_D < copies_D)
    if not torn_D.any():
        return
    rows = np.flatnonzero(code_N == np.flatnonzero(torn_D)[0])
    named = ", ".join(f"{listed['uri'][int(row)].as_py()} (label {label_N[row]})" for row in rows[:4])
    raise BadData(
        f"{int(torn_D.sum()):,} images have both labels under different names; the first: {named}. "
        "Their bytes are equal: decide on one label or remove them."
    )
