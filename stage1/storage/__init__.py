"""Object stores behind one small protocol: whole objects, create-only puts, compare-and-set. And data sets, read only.

    store = open_store("/srv/models")                 or "file:///srv/models", "s3://bucket/prefix"
    version = store.put_new("bundles/sha256/ab/model.onnx", data)
    version = store.swap("channels/demo.json", data, expected_version=None)

Keys are relative paths of plain names joined by "/". A reader sees an object as it was before a write or after it,
never in between.

    reader = open_reader("s3://bucket/street photos")  any names
    for entry in reader.list():
        data = reader.read(entry.path)
"""

from stage1.storage.local import LocalStore
from stage1.storage.opening import open_beside, open_store
from stage1.storage.protocol import Store, StoredObject
from stage1.storage.reading import Entry, Reader, open_reader

__all__ = ["Entry", "LocalStore", "Reader", "Store", "StoredObject", "open_beside", "open_reader", "open_store"]
