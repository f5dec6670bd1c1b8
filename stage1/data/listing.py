"""What every kind of source yields: the images it names, none of them read yet."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from stage1.data.origin import Origin

LISTING = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("source", pa.string()),
        pa.field("synthetic", pa.bool_(), nullable=False),
    ]
)
UNLABELED = -1


@dataclass(frozen=True)
class Listing:
    """The images that a source names.

    Attributes:
        origin: Reads the images; its root is what `uri` starts from.
        table: Columns of LISTING, one row an image, no uri twice; label -1 where none is known.
        class_names: Names of label 0 and label 1; None for a source without labels.
        ignored: (path, reason) of whatever else was there: hidden, other_file, symlink, special, odd_name,
            outside_class_folder, listed_twice, too_small and the like. These are no bad images and do not count
            against their budget.
    """

    origin: Origin
    table: pa.Table
    class_names: tuple[str, str] | None
    ignored: list[tuple[str, str]]

    @property
    def root(self) -> str:
        """Absolute folder or s3://bucket/prefix."""
        return self.origin.root


def listing_table(
    uris: Sequence[str] | pa.Array | pa.ChunkedArray,
    labels: pa.Array | pa.ChunkedArray,
    *,
    group: pa.Array | pa.ChunkedArray | None = None,
    source: pa.Array | pa.ChunkedArray | None = None,
    synthetic: pa.Array | pa.ChunkedArray | None = None,
) -> pa.Table:
    """Return a table of LISTING; what is not known is null, and not synthetic."""
    count = len(uris)
    return pa.table(
        {
            "uri": uris,
            "label": labels,
            "group": pa.nulls(count, pa.string()) if group is None else group,
            "source": pa.nulls(count, pa.string()) if source is None else source,
            "synthetic": pa.repeat(pa.scalar(False), count) if synthetic is None else synthetic,
        },
        schema=LISTING,
    )
