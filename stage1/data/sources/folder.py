"""A folder with one sub-folder per class, each nested as deep as it likes; files carry no groups."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from stage1.data.config import SplitConfig
from stage1.data.listing import UNLABELED, Listing, listing_table
from stage1.data.origin import Origin
from stage1.data.sources.labels import canonical, class_names
from stage1.data.sources.location import FILES, Location
from stage1.errors import BadData
from stage1.storage.reading import Entry

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
_CHUNK = 2**16


def set_aside(entry: Entry) -> str:
    """Return the reason for which an entry is no image to list; "" where it is one."""
    if entry.refused:
        return entry.refused.replace(" ", "_")
    if entry.path.startswith(".") or "/." in entry.path:
        return "hidden"
    return "" if PurePosixPath(entry.path).suffix.lower() in IMAGE_SUFFIXES else "other_file"


@dataclass
class _Found:
    """Images in the order of the listing, with the number of their class folder."""

    chunks: list[pa.Array] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    codes: bytearray = field(default_factory=bytearray)
    classes: dict[str, int] = field(default_factory=dict)

    def add(self, uri: str, name: str) -> None:
        self.uris.append(uri)
        self.codes.append(min(self.classes.setdefault(name, len(self.classes)), 255))
        if len(self.uris) == _CHUNK:
            self.chunks.append(pa.array(self.uris, pa.string()))
            self.uris.clear()

    def all_uris(self) -> pa.ChunkedArray:
        return pa.chunked_array([*self.chunks, pa.array(self.uris, pa.string())])


def read_folder(place: Location, config: SplitConfig, *, labelled: bool) -> tuple[Listing | None, list[str]]:
    """List the images under the class folders, or all of them where no labels are needed.

    Hidden entries, links and files without an image's suffix are ignored and counted.

    Returns:
        The listing, or None where there is no image but parquet files; and the parquet files.

    Raises:
        BadData: Not two classes with images, or an unclear positive class.
    """
    ignored: list[tuple[str, str]] = []
    found = _Found()
    packed = []
    for entry in place.reader.list():
        reason = set_aside(entry)
        first, inside, _ = entry.path.partition("/")
        if not reason and labelled and not inside:
            reason = "outside_class_folder"
        if reason:
            ignored.append((entry.path, reason))
            if reason == "other_file" and entry.path.lower().endswith(".parquet"):
                packed.append(entry.path)
        else:
            found.add(entry.path, first)
    if not found.codes:
        if packed:
            return None, packed
        raise BadData(_nothing(place.uri, ignored, labelled))
    uris = found.all_uris()
    code_N = np.frombuffer(bytes(found.codes), np.uint8)
    if not labelled:
        labels = pa.repeat(pa.scalar(UNLABELED, pa.int8()), len(uris))
        return Listing(Origin(place.root), listing_table(uris, labels), None, ignored), packed
    per_class = dict(zip(found.classes, np.bincount(code_N, minlength=len(found.classes)).tolist(), strict=False))
    counts = {canonical(name): count for name, count in per_class.items()}
    if len(counts) != len(per_class):
        raise BadData(f"Sub-folders of {place.uri} name one class twice: {', '.join(sorted(per_class))}. Merge them.")
    names = class_names(counts, config.positive_class, f"sub-folders of {place.uri}{_sheet_hint(place.uri, ignored)}")
    label_of_class = np.array([canonical(name) == names[1] for name in found.classes], np.int8)
    table = listing_table(uris, pa.array(label_of_class[code_N]))
    return Listing(Origin(place.root), table, names, ignored), packed


def _nothing(folder: str, ignored: list[tuple[str, str]], labelled: bool) -> str:
    counts = ", ".join(
        f"{count:,} {reason}" for reason, count in Counter(reason for _, reason in ignored).most_common()
    )
    needed = "one sub-folder per class with images" if labelled else "images"
    return (
        f"Need {needed} in {folder}, got none, and {len(ignored):,} other entries{f' ({counts})' if counts else ''}"
        f"{_sheet_hint(folder, ignored)}. Images are files ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
    )


def _sheet_hint(folder: str, ignored: list[tuple[str, str]]) -> str:
    sheets = [path for path, _ in ignored if PurePosixPath(path).suffix.lower() in FILES and "/" not in path]
    return f" (there is a sheet in it: pass {folder.rstrip('/')}/{sheets[0]})" if sheets else ""
