"""Object stores behind one small protocol: whole objects, create-only puts, compare-and-set.

    store = open_store("/srv/models")                 or "file:///srv/models"
    version = store.put_new("bundles/sha256/ab/model.onnx", data)
    version = store.swap("channels/demo.json", data, expected_version=None)

Keys are relative paths of plain names joined by "/". A reader sees an object as it was before a write or after it,
never in between.
"""

from stage1.storage.local import LocalStore
from stage1.storage.opening import open_store
from stage1.storage.protocol import Store, StoredObject

__all__ = ["LocalStore", "Store", "StoredObject", "open_store"]
