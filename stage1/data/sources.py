"""From a data set's location to a listing of its images: a folder of classes, a CSV or a parquet sheet."""

from pathlib import Path

from stage1.data.config import SplitConfig
from stage1.data.folder import read_folder
from stage1.data.listing import SHEETS, Listing
from stage1.data.sheet import read_sheet
from stage1.errors import BadData


def read_source(uri: str, config: SplitConfig) -> Listing:
    """List the images of a local data set.

    Args:
        uri: A folder with one sub-folder per class, or a .csv or .parquet sheet with a path and a label per row.
        config: Names of columns and of the positive class.

    Raises:
        BadData: There is no such data set, or it cannot be understood; the message says what came and what to do.
    """
    path = Path(uri)
    try:
        if not uri or not path.exists():
            raise BadData(f"Need a local folder, .csv or .parquet with the images; {uri!r} does not exist.")
        if path.is_dir():
            return read_folder(path, config)
        if path.suffix.lower() in SHEETS:
            return read_sheet(path, config)
    except OSError as error:
        raise BadData(f"Cannot list the images of {uri!r}: {error}.") from error
    raise BadData(f"Need a folder, .csv or .parquet, got the file {uri!r}.")
