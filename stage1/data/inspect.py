"""What a data set is, before anything is done with it: counts, sizes, copies, near-duplicates, balance, a few pictures.

It takes the same way as the split (list, read every image once, divide, report) and writes no manifest, so what it says
of the splits is what `stage1 split` would make of the same configuration.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from stage1.data.build import divide, scan_sources
from stage1.data.config import SplitConfig
from stage1.data.decode import decode
from stage1.data.manifest import Manifest, Rows
from stage1.data.origin import RowImages
from stage1.data.sources import read_sources

_THUMBNAIL = 128
_LARGEST_GROUPS = 20
_QUANTILES = {"least": 0.0, "median": 0.5, "most": 1.0}


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of one image.

    Attributes:
        jpeg: Its bytes.
        uri: The image.
        kind: positive, negative, synthetic or unlabeled; or "alike 3", for the two pictures of a near-duplicate pair.
    """

    jpeg: bytes
    uri: str
    kind: str


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        report: The split report, and under `pictures` sizes and bytes, under `largest_groups` and `sources` counts.
        sheet: Pictures for a contact sheet, by kind.
    """

    report: dict[str, Any]
    sheet: list[Thumbnail]


def inspect(data: str, config: SplitConfig, *, per_kind: int = 24, num_threads: int | None = None) -> Inspection:
    """Read every image of a data set once and describe it.

    Args:
        data: As for `stage1 split`.
        config: Likewise.
        per_kind: Pictures of each kind on the contact sheet; spread evenly over the data set.
        num_threads: For reading images; default: the processors of this process.

    Raises:
        BadData: The data set cannot be used; says what came and what to do.
        StorageError: The object store failed.
    """
    listings = read_sources(data, config)
    found = scan_sources(listings, config, num_threads)
    manifest, report = divide(data, listings, found, config)
    report["pictures"] = {
        "width": _spread(manifest.table["width"].to_numpy()),
        "height": _spread(manifest.table["height"].to_numpy()),
        "bytes": _spread(found.num_bytes[found.num_bytes > 0]),
        "total_bytes": int(found.num_bytes.sum()),
    }
    report["largest_groups"] = _counts_by(manifest, "group")
    report["sources"] = _counts_by(manifest, "source")
    return Inspection(report, _contact_sheet(manifest, report, per_kind))


def _spread(values: NDArray[np.int32] | NDArray[np.int64]) -> dict[str, int]:
    return {name: int(np.quantile(values, share, method="nearest")) for name, share in _QUANTILES.items()}


def _counts_by(manifest: Manifest, column: str) -> list[dict[str, Any]]:
    """Images, positives and split of the largest groups or sources."""
    encoded = manifest.table[column].combine_chunks().dictionary_encode()
    code_N, names = encoded.indices.to_numpy(), encoded.dictionary
    label_N = manifest.table["label"].to_numpy()
    images_G = np.bincount(code_N, minlength=len(names))
    positives_G = np.bincount(code_N[label_N == 1], minlength=len(names))
    labelled_G = np.bincount(code_N[label_N >= 0], minlength=len(names))
    largest = np.argsort(-images_G, kind="stable")[:_LARGEST_GROUPS]
    return [
        {
            "name": names[int(group)].as_py(),
            "images": int(images_G[group]),
            "labelled": int(labelled_G[group]),
            "positives": int(positives_G[group]),
            "splits": sorted(pc.unique(manifest.table["split"].filter(pc.equal(encoded.indices, group))).to_pylist()),
        }
        for group in largest
    ]


def _contact_sheet(manifest: Manifest, report: dict[str, Any], per_kind: int) -> list[Thumbnail]:
    rows = Rows(manifest.table, manifest.roots)
    images = RowImages(rows)
    label_N, synthetic_N = rows.labels, manifest.table["synthetic"].to_numpy()
    kinds = {
        "positive": (label_N == 1) & ~synthetic_N,
        "negative": (label_N == 0) & ~synthetic_N,
        "synthetic": synthetic_N,
        "unlabeled": (label_N < 0) & ~synthetic_N,
    }
    sheet = []
    for kind, chosen_N in kinds.items():
        chosen = np.flatnonzero(chosen_N)
        places = np.unique(np.linspace(0, len(chosen) - 1, min(per_kind, len(chosen))).astype(int))
        sheet += [_thumbnail(images, manifest, int(chosen[place]), kind) for place in places]
    for number, pair in enumerate(report["near_duplicates"].get("examples", [])[: per_kind // 2], start=1):
        for uri in pair:
            index = pc.index(manifest.table["uri"], uri).as_py()
            if index >= 0:
                sheet.append(_thumbnail(images, manifest, index, f"alike {number}"))
    return sheet


def _thumbnail(images: RowImages, manifest: Manifest, index: int, kind: str) -> Thumbnail:
    picture = decode(images.read(index))
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return Thumbnail(stream.getvalue(), manifest.table["uri"][index].as_py(), kind)
