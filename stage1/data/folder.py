"""A folder with one sub-folder per class, each nested as deep as it likes; files carry no groups."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from stage1.data.config import SplitConfig
from stage1.data.labels import canonical, class_names
from stage1.data.listing import LISTING, SHEETS, Listing
from stage1.errors import BadData

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)


def read_folder(folder: Path, config: SplitConfig) -> Listing:
    """List the images under the class folders.

    Hidden entries, files without an image's suffix and links to folders are ignored and counted.

    Raises:
        BadData: Not two classes with images, an unclear positive class, or a link that leads out of the folder.
    """
    root = folder.resolve()
    ignored: list[tuple[str, str]] = []
    by_class: dict[str, list[str]] = {}
    for uri in _images(root, "", ignored):
        first, _, rest = uri.partition("/")
        if rest:
            by_class.setdefault(first, []).append(uri)
        else:
            ignored.append((uri, "outside_class_folder"))
    if not by_class:
        raise BadData(_nothing(folder, ignored))
    counts = {canonical(name): len(uris) for name, uris in by_class.items()}
    if len(counts) != len(by_class):
        raise BadData(f"Sub-folders of {folder} name one class twice: {', '.join(sorted(by_class))}. Merge them.")
    names = class_names(counts, config.positive_class, f"sub-folders of {folder}{_sheet_hint(folder)}")
    table = pa.table(
        {
            "uri": [uri for uris in by_class.values() for uri in uris],
            "label": [int(canonical(name) == names[1]) for name, uris in by_class.items() for _ in uris],
            "group": pa.nulls(sum(counts.values()), pa.string()),
            "source": pa.nulls(sum(counts.values()), pa.string()),
        },
        schema=LISTING,
    )
    return Listing(root, table, names, ignored)


def _images(root: Path, prefix: str, ignored: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the uris of image files under root/prefix, sorted; note everything else in `ignored`."""
    with os.scandir(root / prefix) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        uri = prefix + entry.name
        linked = entry.is_symlink()
        if entry.name.startswith("."):
            ignored.append((_printable(uri), "hidden"))
        elif not _is_text(entry.name):
            ignored.append((_printable(uri), "bad_name"))
        elif linked and not Path(entry.path).resolve().is_relative_to(root):
            raise BadData(
                f"The link {uri} leads out of {root}. "
                "Copy the files, or pass a sheet with the real folder as image_root."
            )
        elif entry.is_dir():
            if linked:
                ignored.append((uri, "linked_folder"))
            else:
                yield from _images(root, uri + "/", ignored)
        elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
            yield uri
        else:
            ignored.append((uri, "other_file"))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _nothing(folder: Path, ignored: list[tuple[str, str]]) -> str:
    return (
        f"Need one sub-folder per class with images in {folder}, got none, and {len(ignored):,} other entries"
        f"{_sheet_hint(folder)}. Images are files ending in {', '.join(sorted(IMAGE_SUFFIXES))}."
    )


def _sheet_hint(folder: Path) -> str:
    sheets = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in SHEETS)
    return f" (there is a sheet in it: pass {folder / sheets[0]})" if sheets else ""
