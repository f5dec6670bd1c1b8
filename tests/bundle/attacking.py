"""What attacks on a bundle have in common."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stage1.bundle import Bundle, BundleRejected, verify
from stage1.bundle.documents import canonical, digest_of

Edit = Callable[[Path], object]


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def rejected(uri: str | Path, match: str | None = None, **arguments: Any) -> str:
    """Show that neither checking nor loading takes it, and return the reason."""
    with pytest.raises(BundleRejected, match=match) as caught:
        verify(uri, **arguments)
    with pytest.raises(BundleRejected, match=match):
        Bundle.load(uri, **arguments)
    assert str(caught.value)
    return str(caught.value)


def reseal(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change bundle.json as a skilled attacker would, so that every digest is right again."""
    document = json.loads((folder / "bundle.json").read_bytes())
    change(document)
    document.pop("digest", None)
    for name, entry in document.get("files", {}).items():
        path = folder / name
        if isinstance(entry, dict) and path.is_file() and not path.is_symlink():
            entry |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
    (folder / "bundle.json").write_bytes(canonical({**document, "digest": digest_of(document)}))


def replaced(name: str, data: bytes) -> Edit:
    """Other content under a listed name, with right digests."""

    def edit(folder: Path) -> None:
        (folder / name).write_bytes(data)
        reseal(folder)

    return edit


def add_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    reseal(folder, lambda document: document["files"].update({name: {}}))
