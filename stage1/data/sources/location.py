"""Where a source lies: a root that is read from, and the file in it where the source is one file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stage1.errors import BadData, BadInput, NotFound
from stage1.storage.reading import Reader, open_reader

FILES = (".csv", ".parquet", ".json")


@dataclass(frozen=True)
class Location:
    """A source's place.

    Attributes:
        uri: As the user gave it.
        root: Absolute local folder or s3://bucket/prefix.
        name: File below the root; "" where the source is the root itself.
        reader: Of the root.
    """

    uri: str
    root: str
    name: str
    reader: Reader

    @property
    def suffix(self) -> str:
        """Ending of the file's name in lower case; "" for a folder."""
        return PurePosixPath(self.name).suffix.lower()

    def holds(self, path: str) -> bool:
        """Whether there is such a file below the root."""
        try:
            self.reader.read(path)
        except (NotFound, BadData):
            return False
        return True

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Yield the source's file as a local path; one on S3 is fetched to a temporary folder for as long."""
        if not self.root.startswith("s3://"):
            yield Path(self.root) / self.name
            return
        with tempfile.TemporaryDirectory(prefix="stage1-source-") as folder:
            path = Path(folder) / f"source{self.suffix}"
            try:
                self.reader.fetch(self.name, path)
            except NotFound:
                raise BadData(f"There is no {self.uri}.") from None
            yield path


def locate(uri: str) -> Location:
    """Find out whether a location is a folder or a file, and open it for reading.

    Raises:
        BadData: Nothing is there.
    """
    try:
        if uri.startswith("s3://"):
            is_file = PurePosixPath(uri).suffix.lower() in FILES and not uri.endswith("/")
            folder, _, name = uri.rpartition("/") if is_file else (uri.rstrip("/"), "", "")
            reader = open_reader(folder)
            return Location(uri, reader.uri, name, reader)
        path = Path(uri.removeprefix("file://"))
        if not uri or not path.exists():
            raise BadData(
                f"Need a folder, .csv, .parquet or COCO .json with the images, local or on s3://; "
                f"{uri!r} does not exist."
            )
        path = path.resolve()
        folder_path, name = (path, "") if path.is_dir() else (path.parent, path.name)
        return Location(uri, str(folder_path), name, open_reader(str(folder_path)))
    except (OSError, ValueError, BadInput) as error:
        if isinstance(error, BadData):
            raise
        raise BadData(f"Cannot read the data set {uri!r}: {error}") from error


def image_root(place: Location, configured: str) -> str:
    """Return the root that the paths of a sheet start from: `configured`, or else the folder that the sheet is in.

    Raises:
        BadData: There is no such folder.
    """
    if not configured:
        return place.root
    found = locate(configured.rstrip("/") + "/" if configured.startswith("s3://") else configured)
    if found.name:
        raise BadData(f"Need a folder as image_root, got the file {configured!r}.")
    return found.root
