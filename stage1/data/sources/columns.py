"""Columns of a table somebody else wrote, as text: which is what, labels, groups, marks; every error names its row."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stage1.data.config import SplitConfig
from stage1.data.listing import UNLABELED, listing_table
from stage1.data.sources.labels import canonical, class_names
from stage1.errors import BadData

Where = Callable[[int], str]
_ABSENT = pa.array(["", "nan", "NaN", "null", "NULL", "None"])
_OPTIONAL = ("group", "source", "synthetic")


def find_columns(name: str, header: list[str], config: SplitConfig, needed: tuple[str, ...]) -> dict[str, str]:
    """Return which columns to read, by what they are; those of _OPTIONAL may be absent where they have default names.

    Args:
        name: Of the table, for messages.
        header: All of its columns.
        config: Names of columns.
        needed: Out of path and label.
    """
    named = {kind: str(getattr(config, f"{kind}_column")) for kind in (*needed, *_OPTIONAL)}
    for kind, column in list(named.items()):
        if header.count(column) > 1:
            raise BadData(f"Column {column!r} stands {header.count(column)} times in {name}. Rename all but one.")
        if column in header:
            continue
        if kind in _OPTIONAL and column == SplitConfig.model_fields[f"{kind}_column"].default:
            del named[kind]
            continue
        hint = " Separate columns by commas." if len(header) == 1 and any(mark in header[0] for mark in ";\t|") else ""
        raise BadData(
            f"Need a column {column!r} in {name}, got {', '.join(map(repr, header))}.{hint} "
            f"Set {kind}_column to its name."
        )
    return named


def as_text(table: pa.Table, named: dict[str, str], name: str) -> dict[str, pa.Array]:
    """Return the named columns by what they are, as text."""
    columns = {}
    for kind, column_name in named.items():
        column = table[column_name]
        try:
            columns[kind] = _joined(column.cast(pa.string()))
            columns[kind].validate(full=True)
        except pa.ArrowException:
            raise BadData(f"Need text or numbers in column {column_name!r} of {name}, got {column.type}.") from None
    return columns


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], pa.string())])


def absent(column: pa.Array) -> pa.Array:
    """Where a cell is empty, or says that it is."""
    return pc.or_(pc.is_null(column), pc.is_in(pc.fill_null(pc.utf8_trim_whitespace(column), ""), value_set=_ABSENT))


def refuse_absent(column: pa.Array, name: str, needed: str, where: Where) -> None:
    """Raise BadData for the first empty cell."""
    rows = pc.indices_nonzero(absent(column))
    if len(rows):
        raise BadData(
            f"{where(rows[0].as_py())}, column {name!r}: need {needed}, got nothing"
            f"{f' (so in {len(rows):,} rows)' if len(rows) > 1 else ''}. Fill it in or remove the row."
        )


def read_labels(column: pa.Array, config: SplitConfig, name: str, where: Where) -> tuple[pa.Array, tuple[str, str]]:
    """Return labels 0 and 1, and the names of the two; the column has no empty cells."""
    encoded = column.dictionary_encode()
    spelled = [canonical(value) for value in encoded.dictionary.to_pylist()]
    per_value = np.bincount(encoded.indices.to_numpy(), minlength=len(spelled))
    counts: dict[str, int] = {}
    for index, value in enumerate(spelled):
        counts[value] = counts.get(value, 0) + int(per_value[index])
    strange = [value for value in counts if value not in ("0", "1")]
    if strange and len(strange) < len(counts) and len(counts) > 2:
        row = pc.index(encoded.indices, spelled.index(strange[0])).as_py()
        raise BadData(
            f"{where(row)}, column {config.label_column!r}: need 0 or 1 as in other rows, got {strange[0]!r} "
            f"({counts[strange[0]]:,} rows; {len(strange)} such values). Correct or remove them."
        )
    shown = dict(list(counts.items())[:20])
    names = class_names(counts if len(counts) <= 20 else shown, config.positive_class, f"labels of {name}")
    label_of_value = pa.array([int(value == names[1]) for value in spelled], pa.int8())
    return label_of_value.take(encoded.indices), names


def to_listing(
    uris: pa.Array,
    columns: dict[str, pa.Array],
    config: SplitConfig,
    name: str,
    where: Where,
    *,
    labelled: bool,
    labels_checked: bool = False,
) -> tuple[pa.Table, tuple[str, str] | None]:
    """Return a table of LISTING from columns of text, and the names of the two classes.

    `labels_checked`: empty labels were refused already, and a class may be called None.
    """
    labels, names = pa.repeat(pa.scalar(UNLABELED, pa.int8()), len(uris)), None
    if labelled:
        if not labels_checked:
            refuse_absent(columns["label"], config.label_column, "a label", where)
        labels, names = read_labels(columns["label"], config, name, where)
    table = listing_table(
        uris,
        labels,
        group=_optional(columns.get("group")),
        source=_optional(columns.get("source")),
        synthetic=_marks(columns.get("synthetic"), config, where),
    )
    return table, names


def _optional(column: pa.Array | None) -> pa.Array | None:
    return None if column is None else pc.if_else(absent(column), pa.scalar(None, pa.string()), column)


def _marks(column: pa.Array | None, config: SplitConfig, where: Where) -> pa.Array | None:
    """Return where the column says 1; an empty cell says 0."""
    if column is None:
        return None
    encoded = pc.if_else(absent(column), "0", column).dictionary_encode()
    spelled = [canonical(value) for value in encoded.dictionary.to_pylist()]
    strange = [index for index, value in enumerate(spelled) if value not in ("0", "1")]
    if strange:
        row = pc.index(encoded.indices, strange[0]).as_py()
        raise BadData(
            f"{where(row)}, column {config.synthetic_column!r}: need 0 or 1, got {spelled[strange[0]]!r}. "
            "Correct it, or set synthetic_column to another column."
        )
    return pa.array([value == "1" for value in spelled]).take(encoded.indices)


def once_each(table: pa.Table, where: Where) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Drop rows that repeat an earlier one; a repetition that contradicts it is an error."""
    encoded = table["uri"].combine_chunks().dictionary_encode()
    if len(encoded.dictionary) == len(encoded):
        return table, []
    code_N = encoded.indices.to_numpy()
    rows_N = np.arange(len(code_N))
    first_C = np.empty(len(encoded.dictionary), np.int64)
    first_C[code_N[::-1]] = rows_N[::-1]
    again = np.flatnonzero(first_C[code_N] != rows_N)
    before = first_C[code_N[again]]
    for column in ("label", "group"):
        values = table[column].combine_chunks()
        one, other = values.take(pa.array(before)), values.take(pa.array(again))
        differ = pc.or_(pc.fill_null(pc.not_equal(one, other), False), pc.xor(pc.is_null(one), pc.is_null(other)))
        if pc.any(differ).as_py():
            place = pc.index(differ, True).as_py()
            raise BadData(
                f"{where(int(again[place]))}: {table['uri'][int(again[place])].as_py()} has {column} "
                f"{other[place].as_py()}, but {column} {one[place].as_py()} in {where(int(before[place]))}. "
                "Keep the right one of the two rows."
            )
    ignored = [(uri, "listed_twice") for uri in table["uri"].take(pa.array(again)).to_pylist()]
    return table.filter(pa.array(first_C[code_N] == rows_N)), ignored
