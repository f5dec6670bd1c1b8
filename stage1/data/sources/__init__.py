"""From a data set's location to a listing of its images.

What a location is follows from what lies there, on a local path or on s3://:

    folder with data.yaml                 YOLO: images/ and labels/, a rule makes labels of boxes
    folder with image files               one sub-folder per class (any tree, where no labels are needed)
    folder with parquet files             Hugging Face shards: image bytes and label in the rows
    .csv, .parquet                        a row per image: path and label; or, in parquet, image bytes and label
    .json                                 COCO: images, annotations, categories; a rule makes labels of boxes
"""

from dataclasses import replace

import pyarrow as pa

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.origin import Origin
from stage1.data.sources.coco import read_coco
from stage1.data.sources.folder import read_folder
from stage1.data.sources.huggingface import read_packed
from stage1.data.sources.location import Location, locate
from stage1.data.sources.sheet import read_sheet
from stage1.data.sources.yolo import DESCRIPTION, read_yolo
from stage1.errors import BadData

__all__ = ["read_source", "read_sources"]


def read_sources(data: str, config: SplitConfig) -> list[Listing]:
    """List the images of the data set and of the sources that the configuration adds; the data set comes first.

    Raises:
        BadData: A source is not there, cannot be understood, or stands in the configuration twice.
        StorageError: The object store failed.
    """
    named = [data, *config.more, *config.synthetic, *config.unlabeled]
    twice = [uri for index, uri in enumerate(named) if uri in named[:index]]
    if twice:
        raise BadData(f"The source {twice[0]!r} is named twice in data, more, synthetic and unlabeled. Name it once.")
    listings = [read_source(uri, config) for uri in (data, *config.more)]
    for uri in config.synthetic:
        listing = read_source(uri, config)
        column = pa.repeat(pa.scalar(True), listing.table.num_rows)
        index = listing.table.schema.get_field_index("synthetic")
        marked = listing.table.set_column(index, listing.table.schema.field(index), column)
        listings.append(replace(listing, table=marked))
    return listings + [read_source(uri, config, labelled=False) for uri in config.unlabeled]


def read_source(uri: str, config: SplitConfig, *, labelled: bool = True) -> Listing:
    """List the images of one source.

    Args:
        uri: See the module.
        config: Names of columns and of the positive class, the rule for annotations.
        labelled: False for images without labels: every one that lies there.

    Raises:
        BadData: There is no such source, or it cannot be understood; the message says what came and what to do.
        StorageError: The object store failed.
    """
    place = locate(uri)
    if place.suffix in (".csv", ".parquet"):
        return read_sheet(place, config, labelled=labelled)
    if place.suffix == ".json":
        return read_coco(place, config, labelled=labelled)
    if place.name:
        raise BadData(f"Need a folder, .csv, .parquet or COCO .json, got the file {uri!r}.")
    if labelled and place.holds(DESCRIPTION):
        return read_yolo(place, config)
    return _read_tree(place, config, labelled)


def _read_tree(place: Location, config: SplitConfig, labelled: bool) -> Listing:
    listing, packed = read_folder(place, config, labelled=labelled)
    if listing is not None:
        return listing
    return read_packed(Origin(place.root), place.uri, packed, config, labelled=labelled)
