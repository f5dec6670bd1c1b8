"""Reading S3: one object into memory or into a file, and what a prefix holds."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from minio.datatypes import parse_list_objects

from stage1.errors import NotFound, StorageError, TooLarge
from stage1.storage.copying import whole_file, write
from stage1.storage.protocol import StoredObject
from stage1.storage.wire import Answer, Fault, Wire, failure

SHA256 = "x-amz-meta-stage1-sha256"
_DAMAGED = "Damaged"


@dataclass(frozen=True)
class Listed:
    """An object in a listing; the key is the whole one."""

    key: str
    num_bytes: int
    etag: str


def get_object(wire: Wire, bucket: str, key: str, *, max_bytes: int | None = None) -> StoredObject:
    """Return an object and its ETag, whole and, where its writer stored a digest, checked by that.

    Raises:
        NotFound: There is none.
        StorageError: It has more than `max_bytes`, or could not be read.
    """
    where = f"s3://{bucket}/{key}"

    def take(answer: Answer) -> StoredObject:
        _check_size(where, answer.num_bytes or 0, max_bytes)
        data = bytearray()
        for chunk in answer.chunks():
            data += chunk
            _check_size(where, len(data), max_bytes)
        _check_digest(answer.headers, hashlib.sha256(data).hexdigest())
        return StoredObject(bytes(data), answer.etag)

    def missing(fault: Fault) -> StoredObject:
        raise _missing(where, fault)

    return wire.call(f"reading {where}", "GET", bucket, key, take, expected={404: missing})


def fetch_object(wire: Wire, bucket: str, key: str, to: Path, *, max_bytes: int | None = None) -> None:
    """Copy an object into the file `to`, which appears whole or not at all; a broken copy goes on where it stopped.

    Raises:
        NotFound: There is none.
        StorageError: It has more than `max_bytes`, could not be read, or the file could not be written.
    """
    where = f"s3://{bucket}/{key}"
    with whole_file(to) as stream:
        digest, received, etag = hashlib.sha256(), 0, ""
        for attempt in wire.retrying.attempts():
            headers = {"Range": f"bytes={received}-", "If-Match": f'"{etag}"'} if received else {}
            try:
                with wire.once("GET", bucket, key, headers=headers) as answer:
                    if received and answer.status != 206:
                        raise Fault("no ranges", status=412, passing=False, arrived=True)
                    etag = answer.etag
                    _check_size(where, received + (answer.num_bytes or 0), max_bytes)
                    for chunk in answer.chunks():
                        received += len(chunk)
                        _check_size(where, received, max_bytes)
                        digest.update(chunk)
                        write(stream, chunk, to)
                    _check_digest(answer.headers, digest.hexdigest())
                    return
            except Fault as fault:
                last, tries = fault, attempt
            if last.status == 404:
                raise _missing(where, last)
            if last.status in (412, 416) or last.code == _DAMAGED:  # what was received is of no use: begin again
                digest, received = hashlib.sha256(), 0
                write(stream, None, to)
            elif not last.passing:
                break
        raise failure(f"reading {where}", last, tries)


def list_objects(wire: Wire, bucket: str, prefix: str) -> Iterator[Listed]:
    """Yield every object whose key starts with `prefix`, in order, page by page, each page with its own retries."""
    query = {"list-type": "2", "prefix": prefix, "max-keys": "1000", "encoding-type": "url"}
    while True:
        listed, token = wire.call(f"listing s3://{bucket}/{prefix}*", "GET", bucket, "", _page, query=query)
        yield from listed
        if not token:
            return
        query = {**query, "continuation-token": token}


def _check_size(where: str, num_bytes: int, max_bytes: int | None) -> None:
    if max_bytes is not None and num_bytes > max_bytes:
        raise TooLarge(f"{where} has {num_bytes:,} bytes, at most {max_bytes:,} are expected.")


def _check_digest(headers: Mapping[str, str], sha256: str) -> None:
    """Objects of other writers carry no digest of ours."""
    if headers.get(SHA256, sha256) != sha256:
        raise Fault(
            "the bytes do not have the SHA-256 that was stored with them", code=_DAMAGED, passing=True, arrived=True
        )


def _missing(where: str, fault: Fault) -> StorageError:
    if fault.code == "NoSuchBucket":
        return failure(f"reading {where}", fault, 1)
    return NotFound(f"There is no object {where}.")


def _page(answer: Answer) -> tuple[list[Listed], str]:
    try:
        objects, more, token, _ = parse_list_objects(cast(Any, answer.document()))
        listed = [Listed(item.object_name or "", item.size or 0, (item.etag or "").strip('"')) for item in objects]
    except (SyntaxError, ValueError):
        raise Fault("the listing cannot be read", status=answer.status, passing=True, arrived=True) from None
    if more and not token:
        raise Fault("the listing has no way on", status=answer.status, passing=True, arrived=True)
    return listed, (token or "") if more else ""
