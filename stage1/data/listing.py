"""What every kind of source yields: the images it names, none of them read yet."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

LISTING = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("source", pa.string()),
    ]
)
SHEETS = (".csv", ".parquet")


@dataclass(frozen=True)
class Listing:
    """The images that a source names.

    Attributes:
        root: Absolute folder that `uri` starts from.
        table: Columns of LISTING, one row an image, no uri twice.
        class_names: Names of label 0 and label 1.
        ignored: (path, reason) of whatever else was there: hidden, other_file, linked_folder, bad_name,
            outside_class_folder, listed_twice. These are no bad images and do not count against their budget.
    """

    root: Path
    table: pa.Table
    class_names: tuple[str, str]
    ignored: list[tuple[str, str]]
