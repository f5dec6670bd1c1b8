"""Data: sources, leak-proof splits behind one manifest, decoding and loading.

`Preprocessing` and `decode` need numpy and Pillow only, and a consumer of bundles installs no more: the other names are
imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from stage1.data.config import SplitConfig
from stage1.data.preprocess import Preprocessing

if TYPE_CHECKING:
    from stage1.data.build import make_split
    from stage1.data.loading import ImageBatches, load_images
    from stage1.data.manifest import SPLITS, Manifest, Rows
    from stage1.data.splits import assign

__all__ = [
    "SPLITS",
    "ImageBatches",
    "Manifest",
    "Preprocessing",
    "Rows",
    "SplitConfig",
    "assign",
    "load_images",
    "make_split",
]

_LAZY = {
    "SPLITS": "manifest",
    "ImageBatches": "loading",
    "Manifest": "manifest",
    "Rows": "manifest",
    "assign": "splits",
    "load_images": "loading",
    "make_split": "build",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"stage1.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
