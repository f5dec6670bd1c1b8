"""A bucket, or a prefix in one, as an object store: MinIO, Amazon S3 and whatever else knows conditional writes.

Create-only is a put with `If-None-Match: *`, compare-and-set one with `If-Match: <etag>`; the server decides both under
its own lock. An object's version is its ETag.

An answer can be lost after its request was carried out. Every write therefore carries a nonce in the object's metadata:
before a write is sent again, and before it is called a conflict, the object is looked at, and where the nonce is ours
the write is done. The metadata also holds the SHA-256 of the bytes, by which every read is checked.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stage1.errors import BadInput, Conflict, StorageError
from stage1.storage.keys import check_key
from stage1.storage.multipart import Multipart
from stage1.storage.objects import SHA256, get_object, list_objects
from stage1.storage.payload import FilePart, Payload, digests
from stage1.storage.protocol import StoredObject
from stage1.storage.retrying import Retrying
from stage1.storage.service import Service
from stage1.storage.wire import Fault, Wire, failure

WRITER = "x-amz-meta-stage1-writer"

_SINGLE_PUT_BYTES = 64 << 20
_LOOK_FIRST_BYTES = 128 << 10


@dataclass(frozen=True)
class Stat:
    """What a HEAD says about an object."""

    etag: str
    writer: str


class S3Store:
    """Objects below one prefix of one bucket. Safe for any number of threads, processes and machines."""

    def __init__(self, service: Service, bucket: str, prefix: str = "", retrying: Retrying = Retrying()) -> None:  # noqa: B008
        self._wire = Wire(service, retrying)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._single_put_bytes = _SINGLE_PUT_BYTES

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        """See Store.get."""
        return get_object(self._wire, self._bucket, self._prefix + check_key(key), max_bytes=max_bytes)

    def put_new(self, key: str, data: bytes) -> str:
        """See Store.put_new."""
        payload = Payload(data)
        return self._put(key, payload, payload.sha256, {"If-None-Match": "*"})

    def put_file_new(self, key: str, path: Path) -> str:
        """See Store.put_file_new. Beyond 64 MiB it goes up in parts, several at once, each with its own retries."""
        check_key(key)
        try:
            size = path.stat().st_size
            part_bytes = max(16 << 20, -(-size // 9_000)) if size > self._single_put_bytes else size + 1
            sha256, parts = digests(path, part_bytes)
        except OSError as error:
            raise BadInput(f"Cannot store {path} as {key}: {error.strerror}. Name a file that can be read.") from error
        if size > _LOOK_FIRST_BYTES and self._stat(key) is not None:
            raise self._taken(key)
        if len(parts) == 1:
            return self._put(key, parts[0], sha256, {"If-None-Match": "*"})
        return self._put_parts(key, parts, sha256)

    def swap(self, key: str, data: bytes, expected_version: str | None) -> str:
        """See Store.swap."""
        payload = Payload(data)
        condition = {"If-None-Match": "*"} if expected_version is None else {"If-Match": f'"{expected_version}"'}
        return self._put(key, payload, payload.sha256, condition, expected_version)

    def remove(self, key: str) -> None:
        """See Store.remove."""
        address = self._bucket, self._prefix + check_key(key)
        self._wire.call(f"removing {self.uri_of(key)}", "DELETE", *address, lambda _: None)

    def list(self, prefix: str = "") -> list[str]:
        """See Store.list."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        keys = []
        for found in list_objects(self._wire, self._bucket, self._prefix + prefix):
            with suppress(BadInput):  # what this store cannot have written is none of its objects
                keys.append(check_key(found.key.removeprefix(self._prefix)))
        return sorted(keys)

    def uri_of(self, key: str) -> str:
        """Return s3://bucket/prefix/key."""
        if key := key.removesuffix("/"):
            check_key(key)
        return f"s3://{self._bucket}/{self._prefix}{key}"

    def _put(
        self,
        key: str,
        payload: Payload | FilePart,
        sha256: str,
        condition: Mapping[str, str],
        expected_version: str | None = None,
    ) -> str:
        check_key(key)
        writer = secrets.token_hex(16)
        headers = {**condition, WRITER: writer, SHA256: sha256, "Content-Type": "application/octet-stream"}

        def send() -> str:
            address = self._bucket, self._prefix + key
            with self._wire.once("PUT", *address, headers=headers, payload=payload) as answer:
                answer.document()
                return answer.etag

        return self._settle(key, writer, send, expected_version)

    def _put_parts(self, key: str, parts: Sequence[FilePart], sha256: str) -> str:
        writer = secrets.token_hex(16)
        doing = f"writing {self.uri_of(key)}"
        headers = {WRITER: writer, SHA256: sha256, "Content-Type": "application/octet-stream"}
        with Multipart(self._wire, doing, self._bucket, self._prefix + key, headers) as upload:
            upload.send(parts)
            return self._settle(key, writer, lambda: upload.complete({"If-None-Match": "*"}), None)

    def _settle(self, key: str, writer: str, send: Callable[[], str], expected_version: str | None) -> str:
        """Send a conditional write until it is known whether it was done, and return the new version.

        Raises:
            Conflict: It was not done, because the object was not as expected.
            StorageError: It failed. Where an attempt may have been carried out and the object is now another one, it
                cannot be known whether that one came before ours or after it, and the message says so.
        """
        doing = f"writing {self.uri_of(key)}"
        maybe_done = False
        for attempt in self._wire.retrying.attempts():
            try:
                if etag := send():
                    return etag
                fault = Fault("the answer has no ETag", passing=True, arrived=True)
            except Fault as caught:
                fault = caught
            tries = attempt
            maybe_done |= fault.arrived
            refused = fault.status == 412 or (fault.status == 404 and fault.code != "NoSuchBucket")
            if maybe_done or refused:
                found = self._stat(key)
                if found is not None and found.writer == writer:
                    return found.etag
                if refused or (found.etag if found else None) != expected_version:
                    if maybe_done and expected_version is not None:
                        raise StorageError(
                            f"{doing[0].upper()}{doing[1:]} got no answer, and the object was changed by another "
                            "writer since; it is unknown whether this write came before that one. Read it again."
                        )
                    raise self._taken(key) if expected_version is None else self._changed(key, found)
            if not fault.passing:
                break
        raise failure(doing, fault, tries)

    def _stat(self, key: str) -> Stat | None:
        """Return what is stored under the key now, or None."""
        return self._wire.call(
            f"looking at {self.uri_of(key)}",
            "HEAD",
            self._bucket,
            self._prefix + key,
            lambda answer: Stat(answer.etag, answer.headers.get(WRITER, "")),
            expected={404: lambda _: None},
        )

    def _taken(self, key: str) -> Conflict:
        return Conflict(f"{self.uri_of(key)} exists already; nothing was changed.")

    def _changed(self, key: str, found: Stat | None) -> Conflict:
        if found is None:
            return Conflict(f"{self.uri_of(key)} is gone; nothing was changed. Read it again.")
        return Conflict(
            f"{self.uri_of(key)} was changed by another writer since it was read; nothing was changed. Read it again."
        )
