"""From a data set's location to its manifest and split report: list, read every image once, divide, report.

Nothing here is one Python object a row: 10 million rows are divided within 4 GiB (benchmarks/split_scale.py).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stage1.data.config import SplitConfig
from stage1.data.listing import UNLABELED, Listing
from stage1.data.lookalikes import look_links, near_report
from stage1.data.manifest import SCHEMA, SPLITS, Manifest, data_digest
from stage1.data.report import split_report
from stage1.data.scan import Scan, named, scan
from stage1.data.sources import read_sources
from stage1.data.splits import Link, place
from stage1.errors import BadData

Digests = NDArray[np.uint8]


def make_split(data: str, config: SplitConfig, *, num_threads: int | None = None) -> tuple[Manifest, dict[str, Any]]:
    """Return the manifest of a data set and the split report (the content of split.json).

    Args:
        data: A source with labels of any form: see stage1.data.sources.
        config: See SplitConfig; its `more`, `synthetic` and `unlabeled` sources are joined in.
        num_threads: For reading images; default: the processors of this process. Does not change the result.

    Raises:
        BadData: The data set cannot be used, too many images are bad, or one image has two labels.
        StorageError: The object store failed, after retries; the message names the key.
    """
    listings = read_sources(data, config)
    return divide(data, listings, scan_sources(listings, config, num_threads), config)


def scan_sources(listings: Sequence[Listing], config: SplitConfig, num_threads: int | None = None) -> Scan:
    """Read every image of the sources once, as the configuration asks; errors as for scan."""
    return scan(
        listings,
        max_pixels=config.max_pixels,
        max_bad_fraction=config.max_bad_fraction,
        looks=config.near_duplicates != "off",
        num_threads=num_threads,
    )


def divide(data: str, listings: Sequence[Listing], found: Scan, config: SplitConfig) -> tuple[Manifest, dict[str, Any]]:
    """Return the manifest and the split report of images that were scanned.

    Args:
        data: Location of the data set as the user gave it, for the report.
        listings: The images, one source after another; the first source has labels.
        found: What the scan found, in the same order.
        config: See SplitConfig.

    Raises:
        BadData: A class has no readable image, or one image has two labels.
    """
    skipped = [each for listing in listings for each in listing.ignored]
    skipped += [(named(listings, index), reason) for index, reason in found.bad]
    listed, rows_N = _listed(listings, found)
    names = listings[0].class_names
    if names is None:
        raise BadData(f"Need labels in {data}: it is the source that is calibrated and tested on.")
    if len(set(pc.unique(listed["label"]).to_pylist()) - {UNLABELED}) < 2:
        raise BadData(f"Need readable images of both classes, {' and '.join(names)}; one has none left.")
    look = None
    if config.near_duplicates != "off":
        look = look_links(found.looks[rows_N], found.looked[rows_N], config.near_distance)
    order = _order(found.digests[rows_N], listed)
    listed, rows_N = listed.take(pa.array(order)), rows_N[order]
    if look is not None:
        look = Link(look.value_N[order], look.pairs_P2)
    digests_N32, sizes_N2 = found.digests[rows_N], found.sizes[rows_N]
    del order, rows_N, found
    same_N = _same_as_before(digests_N32)
    code_N = np.cumsum(~same_N) - 1
    _refuse_two_labels(code_N, listed)

    ids = _hex16(digests_N32)
    fractions = config.fractions.model_dump()
    links = [Link(code_N, np.empty((0, 2), np.int64))]
    if look is not None and config.near_duplicates == "merge":
        links.append(look)
    groups = pc.coalesce(listed["group"].combine_chunks(), ids)
    train_only_N = pc.or_(listed["synthetic"], pc.equal(listed["label"], UNLABELED)).to_numpy()
    placed = place(groups, train_only_N, links, config.salt, fractions)
    del groups, train_only_N, links
    table = pa.table(
        {
            "id": _unique(ids, digests_N32),
            "root": listed["root"],
            "uri": listed["uri"],
            "digest": _binary(digests_N32),
            "label": listed["label"],
            "group": placed.groups,
            "split": pa.DictionaryArray.from_arrays(pa.array(placed.split_N), pa.array(SPLITS)).cast(pa.string()),
            "source": pc.fill_null(listed["source"], ""),
            "synthetic": listed["synthetic"],
            "width": sizes_N2[:, 0],
            "height": sizes_N2[:, 1],
        }
    ).cast(SCHEMA)
    del listed, ids, digests_N32, sizes_N2
    near = None if look is None else _near(look, table, placed.split_N, placed.keep_N)
    del look
    num_copies = int(placed.keep_N.sum()) - len(np.unique(code_N[placed.keep_N]))
    if not placed.keep_N.all():
        left_out = np.flatnonzero(~placed.keep_N)
        skipped += [(uri, "in_held_out_group") for uri in table["uri"].take(pa.array(left_out)).to_pylist()]
        table = table.filter(pa.array(placed.keep_N))
    roots = tuple(dict.fromkeys(listing.root for listing in listings))
    manifest = Manifest(table, roots, config.salt, fractions, names, data_digest(table))
    report = split_report(
        data,
        manifest,
        config,
        skipped=skipped,
        groups_merged=placed.num_joined,
        num_copies=num_copies,
        near=near,
    )
    return manifest, report


def _listed(listings: Sequence[Listing], found: Scan) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the good images of all listings with the number of their root, and their rows in the scan."""
    roots = list(dict.fromkeys(listing.root for listing in listings))
    parts = [
        listing.table.append_column(
            "root", pa.repeat(pa.scalar(roots.index(listing.root), pa.int16()), listing.table.num_rows)
        )
        for listing in listings
    ]
    table = pa.concat_tables(parts)
    if not found.bad:
        return table, np.arange(table.num_rows)
    good = np.ones(table.num_rows, bool)
    good[[index for index, _ in found.bad]] = False
    return table.filter(pa.array(good)), np.flatnonzero(good)


def _order(digests_N32: Digests, listed: pa.Table) -> NDArray[np.int64]:
    """Sort by digest, and copies by root and uri."""
    prefix_N = np.ascontiguousarray(digests_N32[:, :8]).view(">u8")[:, 0].astype(np.uint64)
    order = np.argsort(prefix_N, kind="stable")
    again = np.diff(prefix_N[order]) == 0
    tied = np.flatnonzero(np.concatenate([[False], again]) | np.concatenate([again, [False]]))
    if len(tied):
        rows = order[tied]
        places = listed.select(["root", "uri"]).take(pa.array(rows))
        rank = np.empty(len(rows), np.int64)
        by_place = pc.sort_indices(places, sort_keys=[("root", "ascending"), ("uri", "ascending")]).to_numpy()
        rank[by_place] = np.arange(len(rows))
        words_T4 = np.ascontiguousarray(digests_N32[rows]).view(">u8").astype(np.uint64)
        order[tied] = rows[np.lexsort((rank, *words_T4.T[::-1]))]
    return np.asarray(order, dtype=np.int64)


def _same_as_before(digests_N32: Digests) -> NDArray[np.bool_]:
    """Return for sorted digests whether each equals the one before it."""
    words_N4 = np.ascontiguousarray(digests_N32).view(np.uint64)
    same_N = np.zeros(len(words_N4), bool)
    same_N[1:] = (words_N4[1:] == words_N4[:-1]).all(axis=1)
    return same_N


def _binary(digests_N32: Digests) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(digests_N32))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(digests_N32), [None, data])


def _hex16(digests_N32: Digests) -> pa.Array:
    """Return the first 16 hex digits of each digest."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text_N16 = np.empty((len(digests_N32), 16), np.uint8)
    text_N16[:, 0::2] = digits[digests_N32[:, :8] >> 4]
    text_N16[:, 1::2] = digits[digests_N32[:, :8] & 15]
    offsets = np.arange(len(digests_N32) + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(len(digests_N32), pa.py_buffer(offsets), pa.py_buffer(text_N16))


def _unique(names: pa.Array, digests_N32: Digests) -> pa.Array:
    """Append -1, -2 ... to names that were used in earlier rows; equal names stand side by side."""
    prefix_N = np.ascontiguousarray(digests_N32[:, :8]).view(">u8")[:, 0]
    begins_N = np.diff(prefix_N, prepend=prefix_N[:1] ^ np.uint64(1)) != 0
    rows_N = np.arange(len(prefix_N))
    copy_N = rows_N - np.maximum.accumulate(np.where(begins_N, rows_N, 0))
    again = pa.array(copy_N > 0)
    numbers = pa.array(copy_N[copy_N > 0]).cast(pa.string())
    return pc.replace_with_mask(names, again, pc.binary_join_element_wise(names.filter(again), numbers, "-"))


def _refuse_two_labels(code_N: NDArray[np.int64], listed: pa.Table) -> None:
    label_N = listed["label"].to_numpy()
    known = label_N != UNLABELED
    copies_D = np.bincount(code_N[known])
    positives_D = np.bincount(code_N[known], weights=label_N[known])
    torn_D = (positives_D > 0) & (positives_D < copies_D)
    if not torn_D.any():
        return
    rows = np.flatnonzero((code_N == np.flatnonzero(torn_D)[0]) & known)
    shown = ", ".join(f"{listed['uri'][int(row)].as_py()} (label {label_N[row]})" for row in rows[:4])
    raise BadData(
        f"{int(torn_D.sum()):,} images have both labels under different names; the first: {shown}. "
        "Their bytes are equal: decide on one label or remove them."
    )


def _near(link: Link, table: pa.Table, split_N: NDArray[np.int8], keep_N: NDArray[np.bool_]) -> dict[str, Any]:
    """Count what still looks the same in different groups, and name the first pairs."""
    group_N = table["group"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    kept = Link(np.where(keep_N, link.value_N, -1), link.pairs_P2)
    near = near_report(kept, group_N, split_N, table["label"].to_numpy())
    near["examples"] = [[table["uri"][row].as_py() for row in pair] for pair in near["examples"]]
    return near
