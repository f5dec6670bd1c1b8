"""A CSV or parquet sheet with a row per image: path and label, and where known group and source.

The sheet is read as text, so that a group 007 stays 007. What is wrong with the sheet itself is an error that names the
line and the column; a file that is missing or unreadable is left to the scan, which counts it.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stage1.data.config import SplitConfig
from stage1.data.labels import canonical, class_names
from stage1.data.listing import LISTING, Listing
from stage1.data.paths import uris_within
from stage1.errors import BadData

Where = Callable[[int], str]
_ABSENT = pa.array(["", "nan", "NaN", "null", "NULL", "None"])


def read_sheet(path: Path, config: SplitConfig) -> Listing:
    """List the images of a sheet; paths start from `config.image_root`, or else from the sheet's folder.

    Raises:
        BadData: A column is missing; a path is empty or leads out of the root; a label is empty or is not one of two
            classes; one image has two labels or two groups. The message names the line and the column.
    """
    is_csv = path.suffix.lower() == ".csv"
    text = _read_csv(path, config) if is_csv else _read_parquet(path, config)
    if not text.num_rows:
        raise BadData(f"Need a row per image in {path}, got none.")

    def where(row: int) -> str:
        return f"{path}, line {_line(path, row)}" if is_csv else f"{path}, row {row + 1}"

    label, names = _labels(text["label"], config, path, where)
    root = Path(config.image_root).resolve() if config.image_root else path.resolve().parent
    _refuse_absent(text["path"], config.path_column, "a path", where)
    uris = uris_within(root, text["path"].to_pylist(), config.path_column, where)
    table = pa.table(
        {"uri": uris, "label": label, "group": _optional(text["group"]), "source": _optional(text["source"])},
        schema=LISTING,
    )
    table, ignored = _once_each(table, where)
    return Listing(root, table, names, ignored)


def _columns(path: Path, header: list[str], config: SplitConfig) -> dict[str, str]:
    """Return which columns of the sheet to read, by what they are; group and source may be absent by default."""
    named = {kind: str(getattr(config, f"{kind}_column")) for kind in ("path", "label", "group", "source")}
    for kind, name in list(named.items()):
        if header.count(name) > 1:
            raise BadData(f"Column {name!r} stands {header.count(name)} times in {path}. Rename all but one.")
        if name in header:
            continue
        if kind in ("group", "source") and name == SplitConfig.model_fields[f"{kind}_column"].default:
            del named[kind]
            continue
        hint = " Separate columns by commas." if len(header) == 1 and any(mark in header[0] for mark in ";\t|") else ""
        raise BadData(
            f"Need a column {name!r} in {path}, got {', '.join(map(repr, header))}.{hint} "
            f"Set {kind}_column to its name."
        )
    return named


def _read_csv(path: Path, config: SplitConfig) -> pa.Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = next(csv.reader(stream), [])
        named = _columns(path, header, config)
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
        raise BadData(f"Need a CSV in UTF-8 with a header line at {path}: {error}") from error
    return _as_text(table, named, path)


def _read_parquet(path: Path, config: SplitConfig) -> pa.Table:
    try:
        named = _columns(path, list(pq.read_schema(path).names), config)
        table = pq.read_table(path, columns=list(named.values()), partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"Need a parquet file at {path}: {error}") from error
    kind = table.schema.field(named["path"]).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        raise BadData(f"Need paths (text) in column {named['path']!r} of {path}, got {kind}.")
    return _as_text(table, named, path)


def _as_text(table: pa.Table, named: dict[str, str], path: Path) -> pa.Table:
    columns = {}
    for kind in ("path", "label", "group", "source"):
        if kind not in named:
            columns[kind] = pa.nulls(table.num_rows, pa.string())
            continue
        column = table[named[kind]]
        try:
            columns[kind] = column.cast(pa.string()).combine_chunks()
            columns[kind].validate(full=True)
        except pa.ArrowException:
            raise BadData(f"Need text or numbers in column {named[kind]!r} of {path}, got {column.type}.") from None
    return pa.table(columns)


def _absent(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.or_(pc.is_null(column), pc.is_in(pc.fill_null(pc.utf8_trim_whitespace(column), ""), value_set=_ABSENT))


def _optional(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(_absent(column), pa.scalar(None, pa.string()), column)


def _refuse_absent(column: pa.ChunkedArray, name: str, needed: str, where: Where) -> None:
    rows = pc.indices_nonzero(_absent(column)).to_pylist()
    if rows:
        raise BadData(
            f"{where(rows[0])}, column {name!r}: need {needed}, got nothing"
            f"{f' (so in {len(rows):,} rows)' if len(rows) > 1 else ''}. Fill it in or remove the row."
        )


def _labels(column: pa.ChunkedArray, config: SplitConfig, path: Path, where: Where) -> tuple[pa.Array, tuple[str, str]]:
    _refuse_absent(column, config.label_column, "a label", where)
    encoded = column.combine_chunks().dictionary_encode()
    spelled = [canonical(value) for value in encoded.dictionary.to_pylist()]
    per_value = {entry["values"]: entry["counts"] for entry in pc.value_counts(encoded.indices).to_pylist()}
    counts: dict[str, int] = {}
    for index, name in enumerate(spelled):
        counts[name] = counts.get(name, 0) + per_value[index]
    strange = [name for name in counts if name not in ("0", "1")]
    if strange and len(strange) < len(counts) and len(counts) > 2:
        row = pc.index(encoded.indices, spelled.index(strange[0])).as_py()
        raise BadData(
            f"{where(row)}, column {config.label_column!r}: need 0 or 1 as in other rows, got {strange[0]!r} "
            f"({counts[strange[0]]:,} rows; {len(strange)} such values). Correct or remove them."
        )
    shown = dict(list(counts.items())[:20])
    names = class_names(counts if len(counts) <= 20 else shown, config.positive_class, f"labels of {path}")
    label_of_value = pa.array([int(name == names[1]) for name in spelled], pa.int8())
    return label_of_value.take(encoded.indices), names


def _once_each(table: pa.Table, where: Where) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Drop rows that repeat an earlier one; a repetition that contradicts it is an error."""
    code_N = table["uri"].combine_chunks().dictionary_encode().indices.to_pylist()
    if max(code_N) + 1 == len(code_N):
        return table, []
    first_of: dict[int, int] = {}
    keep, ignored = [], []
    for row, code in enumerate(code_N):
        first = first_of.setdefault(code, row)
        if first == row:
            keep.append(row)
            continue
        for column in ("label", "group"):
            one, other = table[column][first].as_py(), table[column][row].as_py()
            if one != other:
                raise BadData(
                    f"{where(row)}: {table['uri'][row].as_py()} has {column} {other}, but {column} {one} in "
                    f"{where(first)}. Keep the right one of the two rows."
                )
        ignored.append((table["uri"][row].as_py(), "listed_twice"))
    return table.take(pa.array(keep)), ignored


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
