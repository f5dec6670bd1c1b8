"""Parquet files that hold the images themselves, as `datasets` writes them: column image{bytes, path}, and label.

The division into train-*, test-* and validation-* files is not taken over: it is somebody's random draw, and the salted
hash of the group decides here. Groups come from `group_column` where there is one.
"""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.origin import Origin
from stage1.data.sources.columns import as_text, find_columns, refuse_absent, to_listing
from stage1.errors import BadData, NotFound


def read_packed(origin: Origin, uri: str, files: list[str], config: SplitConfig, *, labelled: bool) -> Listing:
    """List the images inside parquet files; row 17 of data/train-0.parquet is `data/train-0.parquet#17`.

    Args:
        origin: Of the folder that the files are below.
        uri: Of the source, for messages.
        files: Below that folder.
        config: Names of columns and of the positive class.
        labelled: Whether labels are needed.

    Raises:
        BadData: A file cannot be read, or lacks a column; or what is wrong with the labels, by file and row.
    """
    uris, parts, starts = [], [], [0]
    for path in files:
        columns, num_rows = _columns(origin, path, config, labelled)
        uris.append(_addresses(path, num_rows))
        parts.append(columns)
        starts.append(starts[-1] + num_rows)
    if not starts[-1]:
        raise BadData(f"Need a row per image in {uri}, got none.")

    def where(row: int) -> str:
        number = next(index for index, start in enumerate(starts[1:]) if row < start)
        return f"{origin.address(files[number])}, row {row - starts[number] + 1}"

    kinds = {kind for columns in parts for kind in columns}
    joined = {
        kind: pa.concat_arrays(
            [
                columns.get(kind, pa.nulls(end - start, pa.string()))
                for columns, start, end in zip(parts, starts, starts[1:], strict=False)
            ]
        )
        for kind in kinds
    }
    table, names = to_listing(
        pa.concat_arrays(uris), joined, config, uri, where, labelled=labelled, labels_checked=True
    )
    return Listing(origin, table, names, [])


def _columns(origin: Origin, path: str, config: SplitConfig, labelled: bool) -> tuple[dict[str, pa.Array], int]:
    """Return the columns of one file as text, labels by their names where the file knows them, and its rows."""
    name = origin.address(path)
    try:
        file = origin.packed_file(path)
    except NotFound:
        raise BadData(f"There is no {name}.") from None
    named = find_columns(name, file.schema.names, config, ("label",) if labelled else ())
    columns = as_text(file.columns(list(named.values())), named, name) if named else {}
    classes = _class_names(file.schema, named.get("label", ""))
    if "label" in columns:
        refuse_absent(columns["label"], named["label"], "a label", lambda row: f"{name}, row {row + 1}")
    if classes and "label" in columns:
        numbers = pa.array([str(number) for number in range(len(classes))])
        code = pc.index_in(columns["label"], value_set=numbers)
        columns["label"] = pc.coalesce(pa.array(classes).take(code), columns["label"])
    return columns, file.num_rows


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names of a ClassLabel column that `datasets` writes beside the schema; [] without."""
    try:
        info: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = info["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _addresses(path: str, num_rows: int) -> pa.Array:
    numbers = pa.array(range(num_rows), pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(path), numbers, "#")
