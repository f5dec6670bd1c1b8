"""COCO-style JSON: images, annotations with boxes, categories; an image's label follows from the user's rule.

Image records may carry a group, a source and a synthetic mark under the names of the columns of a sheet.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.origin import Origin
from stage1.data.sources.boxes import box_class_names, labels_by_rule, positive_categories
from stage1.data.sources.columns import once_each, refuse_absent, to_listing
from stage1.data.sources.location import Location, image_root
from stage1.data.sources.paths import uris_within
from stage1.errors import BadData


class _Image(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: int
    file_name: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class _Annotation(BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]


class _Category(BaseModel):
    id: int
    name: str


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco(place: Location, config: SplitConfig, *, labelled: bool) -> Listing:
    """List the images of a COCO file; file names start from `config.image_root`, or else from the file's folder.

    Raises:
        BadData: Not such a file, no rule or one with unknown categories, an annotation of no image, one image twice.
    """
    coco = _read(place)
    if not coco.images:
        raise BadData(f"Need a record per image in {place.uri}, got none.")

    def where(row: int) -> str:
        return f"{place.uri}, images[{row}]"

    root = image_root(place, config.image_root)
    paths = pa.array([image.file_name for image in coco.images], pa.string())
    refuse_absent(paths, "file_name", "a path", where)
    uris = uris_within(root, paths, "file_name", where)
    columns = {
        kind: pa.array([_text(image, str(getattr(config, f"{kind}_column"))) for image in coco.images], pa.string())
        for kind in ("group", "source", "synthetic")
    }
    table, names = to_listing(uris, columns, config, place.uri, where, labelled=False)
    ignored: list[tuple[str, str]] = []
    if labelled:
        labels, doubtful = _labels(coco, config, place.uri)
        names = box_class_names(config)
        table = table.set_column(1, table.schema.field(1), labels)
        ignored = [(uri, "too_small") for uri in table["uri"].filter(pa.array(doubtful)).to_pylist()]
        kept = np.flatnonzero(~doubtful)
        table, twice = once_each(table.take(pa.array(kept)), lambda row: where(int(kept[row])))
    else:
        table, twice = once_each(table, where)
    return Listing(Origin(root), table, names, ignored + twice)


def _read(place: Location) -> _Coco:
    with place.on_disk() as path:
        try:
            return _Coco.model_validate(json.loads(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            reason: Any = error
            if isinstance(error, ValidationError):
                first = error.errors()[0]
                reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise BadData(
                f"Need COCO annotations (images, annotations, categories) in {place.uri}: {reason}."
            ) from error


def _text(image: _Image, name: str) -> str | None:
    value = (image.model_extra or {}).get(name)
    return None if value is None else str(value)


def _labels(coco: _Coco, config: SplitConfig, name: str) -> tuple[pa.Array, Any]:
    rule = config.positive_when
    chosen = positive_categories({category.id: category.name for category in coco.categories}, rule, name)
    row_of = {image.id: row for row, image in enumerate(coco.images)}
    if len(row_of) != len(coco.images):
        raise BadData(f"Need an id of its own for every image in {name}; one stands twice.")
    rows, areas = [], []
    for number, annotation in enumerate(coco.annotations):
        row = row_of.get(annotation.image_id)
        if row is None:
            raise BadData(
                f"{name}, annotations[{number}]: need the id of an image of the file, got {annotation.image_id}. "
                "Remove the annotation or add the image."
            )
        if annotation.category_id in chosen:
            image = coco.images[row]
            rows.append(row)
            areas.append(annotation.bbox[2] * annotation.bbox[3] / (image.width * image.height))
    return labels_by_rule(np.array(rows, np.int64), np.array(areas, np.float64), len(coco.images), rule)
