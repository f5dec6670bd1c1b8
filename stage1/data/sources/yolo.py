"""YOLO-style folders: data.yaml with the names, images/**/x.jpg, and labels/**/x.txt with a line per object.

The label file of an image has the image's path with the last folder called `images` replaced by `labels`; an image
without one has no objects. The division into train, val and test that data.yaml may state is not taken over.
"""

from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import yaml

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing, listing_table
from stage1.data.origin import Origin
from stage1.data.pool import ordered_map
from stage1.data.sources.boxes import box_class_names, labels_by_rule, positive_categories
from stage1.data.sources.folder import set_aside
from stage1.data.sources.location import Location
from stage1.errors import BadData, NotFound

DESCRIPTION = "data.yaml"
_THREADS = 8
_MOST_BYTES = 2**24

_Objects = list[tuple[int, float]]


def read_yolo(place: Location, config: SplitConfig) -> Listing:
    """List the images below folders called `images`.

    Raises:
        BadData: data.yaml names no classes, a line of a label file cannot be understood, no rule or one with unknown
            classes. The message names the file and the line.
    """
    chosen = positive_categories(_names(place), config.positive_when, f"{place.uri}/{DESCRIPTION}")
    uris, texts, ignored = [], set(), []
    for entry in place.reader.list():
        reason = set_aside(entry)
        if not reason and _label_file(entry.path):
            uris.append(entry.path)
        elif entry.path.endswith(".txt") and "labels" in entry.path.split("/") and not entry.refused:
            texts.add(entry.path)
        else:
            ignored.append((entry.path, reason or "outside_images_folder"))
    if not uris:
        raise BadData(f"Need images in folders called images below {place.uri}, got none. Is it YOLO's layout?")
    files = [_label_file(uri) for uri in uris]
    ignored += [(path, "label_without_image") for path in sorted(texts - set(files))]

    def objects(path: str) -> _Objects:
        return _read_objects(place, path) if path in texts else []

    rows, areas = [], []
    for row, found in enumerate(ordered_map(objects, files, num_threads=_THREADS, ahead=4 * _THREADS)):
        for number, area in found:
            if number in chosen:
                rows.append(row)
                areas.append(area)
    labels, doubtful = labels_by_rule(
        np.array(rows, np.int64), np.array(areas, np.float64), len(uris), config.positive_when
    )
    table = listing_table(pa.array(uris), labels)
    ignored += [(uri, "too_small") for uri in table["uri"].filter(pa.array(doubtful)).to_pylist()]
    ignored += [(path, "label_file") for path in sorted(texts & set(files))]
    return Listing(Origin(place.root), table.filter(pa.array(~doubtful)), box_class_names(config), ignored)


def _names(place: Location) -> dict[int, str]:
    try:
        described = yaml.safe_load(place.reader.read(DESCRIPTION, max_bytes=_MOST_BYTES))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadData(f"{place.uri}/{DESCRIPTION} is not YAML: {error}") from error
    names = described.get("names") if isinstance(described, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if (
        not isinstance(names, dict)
        or not names
        or not all(isinstance(number, int) and isinstance(name, str | int) for number, name in names.items())
    ):
        raise BadData(f"Need the classes under `names` in {place.uri}/{DESCRIPTION}, a list or a mapping by number.")
    return {number: str(name) for number, name in names.items()}


def _label_file(uri: str) -> str:
    """Return where the objects of an image are written; "" for an image that is in no folder called images."""
    *folders, name = uri.split("/")
    if "images" not in folders:
        return ""
    last = len(folders) - 1 - folders[::-1].index("images")
    folders[last] = "labels"
    return "/".join([*folders, PurePosixPath(name).stem + ".txt"])


def _read_objects(place: Location, path: str) -> _Objects:
    """Return class and area of each object: a line is a class and a box (centre, size) or a polygon, all in 0..1."""
    try:
        lines = place.reader.read(path, max_bytes=_MOST_BYTES).decode().splitlines()
    except NotFound:
        return []
    except UnicodeDecodeError as error:
        raise BadData(f"{place.uri}/{path} is not text: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            values = np.array(numbers, np.float64)
            if len(values) == 4:
                area = values[2] * values[3]
            elif len(values) >= 6 and len(values) % 2 == 0:
                area = np.ptp(values[0::2]) * np.ptp(values[1::2])
            else:
                raise ValueError(f"{len(values)} numbers")
            if not np.isfinite(values).all() or values.min() < -0.01 or values.max() > 1.01:
                raise ValueError("a number outside of 0 to 1")
            found.append((int(kind), float(area)))
        except ValueError as error:
            raise BadData(
                f"{place.uri}/{path}, line {number}: need a class and a box (4 numbers from 0 to 1) or a polygon, "
                f"got {line[:80]!r} ({error})."
            ) from None
    return found
