"""A CSV or parquet sheet with a row per image: path and label, and where known group, source and synthetic mark.

The sheet is read as text, so that a group 007 stays 007. What is wrong with the sheet itself is an error that names the
line and the column; a file that is missing or unreadable is left to the scan, which counts it. A parquet sheet that
holds the images' bytes instead of paths is read by huggingface.py.
"""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.origin import Origin
from stage1.data.packed import image_column
from stage1.data.sources.columns import as_text, find_columns, once_each, refuse_absent, to_listing
from stage1.data.sources.huggingface import read_packed
from stage1.data.sources.location import Location, image_root
from stage1.data.sources.paths import uris_within
from stage1.errors import BadData


def read_sheet(place: Location, config: SplitConfig, *, labelled: bool) -> Listing:
    """List the images of a sheet; paths start from `config.image_root`, or else from the sheet's folder.

    Raises:
        BadData: A column is missing; a path is empty or leads out of the root; a label is empty or is not one of two
            classes; one image has two labels or two groups. The message names the line and the column.
    """
    needed = ("path", "label") if labelled else ("path",)
    with place.on_disk() as path:
        if place.suffix == ".csv":
            columns = _read_csv(path, place.uri, config, needed)
        else:
            schema = _parquet_schema(path, place.uri)
            if config.path_column not in schema.names and image_column(schema, place.uri) is not None:
                return read_packed(Origin(place.root), place.uri, [place.name], config, labelled=labelled)
            columns = _read_parquet(path, place.uri, schema, config, needed)
        if not len(columns["path"]):
            raise BadData(f"Need a row per image in {place.uri}, got none.")

        def where(row: int) -> str:
            return f"{place.uri}, line {_line(path, row)}" if place.suffix == ".csv" else f"{place.uri}, row {row + 1}"

        root = image_root(place, config.image_root)
        refuse_absent(columns["path"], config.path_column, "a path", where)
        uris = uris_within(root, columns.pop("path"), config.path_column, where)
        table, names = to_listing(uris, columns, config, place.uri, where, labelled=labelled)
        table, ignored = once_each(table, where)
    return Listing(Origin(root), table, names, ignored)


def _read_csv(path: Path, name: str, config: SplitConfig, needed: tuple[str, ...]) -> dict[str, pa.Array]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = next(csv.reader(stream), [])
        named = find_columns(name, header, config, needed)
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(named.values()),
                column_types=dict.fromkeys(named.values(), pa.string()),
                strings_can_be_null=False,
            ),
        )
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise BadData(f"Need a CSV in UTF-8 with a header line at {name}: {error}") from error
    return as_text(table, named, name)


def _parquet_schema(path: Path, name: str) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"Need a parquet file at {name}: {error}") from error


def _read_parquet(
    path: Path, name: str, schema: pa.Schema, config: SplitConfig, needed: tuple[str, ...]
) -> dict[str, pa.Array]:
    named = find_columns(name, schema.names, config, needed)
    try:
        table = pq.read_table(path, columns=list(named.values()), partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"Need a parquet file at {name}: {error}") from error
    kind = table.schema.field(named["path"]).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        raise BadData(f"Need paths (text) in column {named['path']!r} of {name}, got {kind}.")
    return as_text(table, named, name)


def _line(path: Path, row: int) -> int:
    """Return the line of the CSV on which a data row begins; empty lines and quoted line ends are counted."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        next(reader)
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                if row == 0:
                    break
                row -= 1
            start = reader.line_num + 1
    return start
