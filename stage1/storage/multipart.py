"""A large object in parts: each part has its own digest and retries; the object appears at the end, whole."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from minio.xml import findtext

from stage1.errors import StorageError
from stage1.storage.payload import FilePart, Payload
from stage1.storage.wire import Answer, Fault, Wire

_AT_ONCE = 4
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Multipart:
    """One upload. Leaving the context without completing it removes its parts; a killed process leaves them.

    What a killed process leaves is no object and is never listed; a lifecycle rule of the bucket
    (AbortIncompleteMultipartUpload) removes it.
    """

    def __init__(self, wire: Wire, doing: str, bucket: str, key: str, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._doing = doing
        self._bucket = bucket
        self._key = key
        self._headers = headers
        self._etags: list[str] = []
        self._completed = False

    def __enter__(self) -> Self:
        self._id = self._wire.call(
            self._doing, "POST", self._bucket, self._key, _upload_id, headers=self._headers, query={"uploads": ""}
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._completed:
            with suppress(StorageError):  # the fault that led here is the one to tell
                self._wire.call(
                    self._doing, "DELETE", self._bucket, self._key, lambda _: None, query={"uploadId": self._id}
                )

    def send(self, parts: Sequence[FilePart]) -> None:
        """Send the parts, several at once.

        Raises:
            StorageError: One of them failed for good.
        """
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            sent = [threads.submit(self._send, number, part) for number, part in enumerate(parts, 1)]
            try:
                self._etags = [one.result() for one in sent]
            finally:
                threads.shutdown(cancel_futures=True)

    def complete(self, condition: Mapping[str, str]) -> str:
        """Make the object of its parts if the condition holds, in one attempt, and return its ETag.

        Raises:
            Fault: It was not done, or no answer came.
        """
        root = Element("CompleteMultipartUpload", xmlns=_NAMESPACE)
        for number, etag in enumerate(self._etags, 1):
            part = SubElement(root, "Part")
            SubElement(part, "PartNumber").text = str(number)
            SubElement(part, "ETag").text = f'"{etag}"'
        query = {"uploadId": self._id}
        with self._wire.once(
            "POST", self._bucket, self._key, headers=condition, query=query, payload=Payload(tostring(root))
        ) as answer:
            document = answer.document()
            if code := document.error_code():  # S3 may begin to say 200 and fail later
                raise Fault("", status=answer.status, code=code, passing=True, arrived=True)
            self._completed = True
            return (findtext(fromstring(document.data), "ETag") or "").strip('"')  # noqa: S314

    def _send(self, number: int, part: FilePart) -> str:
        query = {"uploadId": self._id, "partNumber": str(number)}
        doing = f"{self._doing} (part {number})"
        return self._wire.call(doing, "PUT", self._bucket, self._key, _etag, query=query, payload=part)


def _upload_id(answer: Answer) -> str:
    try:
        return findtext(fromstring(answer.document().data), "UploadId", True) or ""  # noqa: S314
    except (SyntaxError, ValueError):
        raise Fault("the answer cannot be read", status=answer.status, passing=True, arrived=True) from None


def _etag(answer: Answer) -> str:
    answer.document()
    return answer.etag
