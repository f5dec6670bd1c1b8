"""One signed request to an S3 service, and its answer or its fault.

minio-py knows no conditional put, so requests are built here from its parts: its addresses, its signature (which covers
If-Match, If-None-Match and the body's SHA-256, so that the server refuses a body that was damaged on the way) and its
credentials, over urllib3. Nothing is presigned: a signature in a URL ends in logs.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from urllib.parse import urlunsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import S3Error
from minio.helpers import BaseURL, DictType
from minio.signer import sign_v4_s3
from minio.time import to_amz_date, utcnow
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)

from stage1.errors import StorageError
from stage1.storage.credentials import Identity
from stage1.storage.payload import FilePart, Payload
from stage1.storage.retrying import Retrying
from stage1.storage.service import Service

T = TypeVar("T")

_DOCUMENT_LIMIT = 32 << 20
_CHUNK = 1 << 20
_SLOWEST_BYTES_S = 16 << 10
_RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
_RETRIED_CODES = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
}


class Fault(Exception):
    """An attempt that failed.

    Attributes:
        status: HTTP status, 0 where no answer came.
        code: The service's word for it, "" where it said none.
        passing: Whether it may go away by itself.
        arrived: Whether the request may have been carried out all the same.
    """

    def __init__(self, reason: str, *, status: int = 0, code: str = "", passing: bool, arrived: bool) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.passing = passing
        self.arrived = arrived


class Answer:
    """The answer to a request, its body not yet read."""

    def __init__(self, response: Any, silence_s: float) -> None:
        self._response = response
        self._started = time.monotonic()
        self._silence_s = silence_s
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def etag(self) -> str:
        """The object's ETag without its quotes."""
        return self.headers.get("etag", "").strip('"')

    @property
    def num_bytes(self) -> int | None:
        """What the server says that the body has."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isdecimal() else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; a short, broken or trickling one is a Fault."""
        received = 0
        for chunk in self._response.stream(_CHUNK, decode_content=False):
            received += len(chunk)
            yield chunk
            allowed = 2 * self._silence_s + received / _SLOWEST_BYTES_S
            if time.monotonic() - self._started > allowed:
                raise Fault("the answer trickles", status=self.status, passing=True, arrived=True)

    def document(self) -> "Document":
        """Return the whole body, which is a document of the service and not an object."""
        data = bytearray()
        for chunk in self.chunks():
            data += chunk
            if len(data) > _DOCUMENT_LIMIT:
                raise Fault("the answer has no end", status=self.status, passing=False, arrived=True)
        return Document(bytes(data), self.headers)


class Document:
    """An XML answer, in the form in which minio's parsers take it."""

    def __init__(self, data: bytes, headers: Mapping[str, str]) -> None:
        self.data = data
        self.headers = headers

    def error_code(self) -> str:
        """Return the Code of an <Error>, "" where it is none or cannot be read."""
        if b"<Error" not in self.data[:1024]:
            return ""
        try:
            return S3Error.fromxml(cast(Any, self)).code or ""
        except (ParseError, UnicodeDecodeError, ValueError):
            return ""


class Wire:
    """Sends requests to one service. Safe for threads, forks and pickling; credentials are never pickled."""

    def __init__(self, service: Service, retrying: Retrying) -> None:
        self.service = service
        self.retrying = retrying
        self._process = 0

    def __getstate__(self) -> tuple[Service, Retrying]:
        return self.service, self.retrying

    def __setstate__(self, state: tuple[Service, Retrying]) -> None:
        self.service, self.retrying = state
        self._process = 0

    def call(
        self,
        doing: str,
        method: str,
        bucket: str,
        key: str,
        take: Callable[[Answer], T],
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        payload: Payload | FilePart = Payload(),  # noqa: B008  (frozen)
        expected: Mapping[int, Callable[[Fault], T]] | None = None,
    ) -> T:
        """Return what `take` makes of the answer, after as many attempts as it needs within the deadline.

        Args:
            doing: For the message: "reading s3://bucket/key".
            method: HTTP method.
            bucket: The bucket.
            key: The object, "" for the bucket itself.
            take: Called with the answer of every successful attempt; a Fault that it raises is treated like any other.
            headers: Signed with the request.
            query: Of the URL.
            payload: The body.
            expected: What to do with a final answer of these HTTP statuses.

        Raises:
            StorageError: The last fault, in words.
        """
        for attempt in self.retrying.attempts():
            try:
                with self.once(method, bucket, key, headers=headers, query=query, payload=payload) as answer:
                    return take(answer)
            except Fault as fault:
                last, tries = fault, attempt
            if expected and last.status in expected and not last.passing:
                return expected[last.status](last)
            if not last.passing:
                break
        raise failure(doing, last, tries)

    @contextmanager
    def once(
        self,
        method: str,
        bucket: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        payload: Payload | FilePart = Payload(),  # noqa: B008  (frozen)
    ) -> Iterator[Answer]:
        """Send one request, once, and yield its answer.

        Raises:
            Fault: No answer, or one that says no.
            StorageError: There are no credentials.
        """
        url, signed = self._sign(method, bucket, key, dict(headers or {}), dict(query or {}), payload)
        try:
            response = self._pool().urlopen(
                method,
                url,
                body=payload.body() if payload.num_bytes else None,
                headers=signed,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                answer = Answer(response, self.retrying.silence_s)
                if response.status not in (200, 204, 206):
                    raise _refused(answer, method)
                yield answer
            finally:
                # An answer that was not read to its end leaves a connection that nobody may use again.
                if response.length_remaining:
                    response.close()
                else:  # http.client takes an answer as open, a HEAD's too, until its empty rest was read
                    response.drain_conn()
                response.release_conn()
        except SSLError as error:
            raise Fault(f"TLS failed ({_tls_reason(error)})", passing=False, arrived=False) from None
        except HTTPError as error:
            unsent = isinstance(error, NewConnectionError | ConnectTimeoutError | NameResolutionError)
            raise Fault(type(error).__name__, passing=True, arrived=not unsent) from None
        except OSError as error:
            raise Fault(error.strerror or type(error).__name__, passing=True, arrived=True) from None

    def _pool(self) -> urllib3.PoolManager:
        """Return this process's own connections: a forked child must not speak on its parent's."""
        if self._process != os.getpid():
            timeout = urllib3.Timeout(connect=self.retrying.connect_s, read=self.retrying.silence_s)
            trust = self.service.trust() if self.service.endpoint.startswith("https") else None
            self._connections = urllib3.PoolManager(maxsize=16, timeout=timeout, ssl_context=trust)
            self._identity = Identity(self.service)
            self._process = os.getpid()
        return self._connections

    def _sign(
        self,
        method: str,
        bucket: str,
        key: str,
        headers: dict[str, str],
        query: dict[str, str],
        payload: Payload | FilePart,
    ) -> tuple[str, dict[str, str]]:
        self._pool()
        credentials = self._identity.credentials()
        url = BaseURL(self.service.endpoint, self.service.region).build(
            method=method,
            region=self.service.region,
            bucket_name=bucket,
            object_name=key or None,
            query_params=cast(DictType, query),
        )
        now = utcnow()
        headers |= {"Host": url.netloc, "x-amz-content-sha256": payload.sha256, "x-amz-date": to_amz_date(now)}
        if method in ("PUT", "POST"):
            headers["Content-Length"] = str(payload.num_bytes)
        if credentials.session_token:
            headers["X-Amz-Security-Token"] = credentials.session_token
        signed = sign_v4_s3(
            method=method,
            url=url,
            region=self.service.region,
            headers=cast(DictType, headers),
            credentials=credentials,
            content_sha256=payload.sha256,
            date=now,
        )
        return urlunsplit(url), cast(dict[str, str], signed)


def failure(doing: str, fault: Fault, attempts: int) -> StorageError:
    """Return the error that says what failed, why, after how many attempts, and what to do."""
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    code = f" {fault.code}" if fault.code else ""
    said = f"HTTP {fault.status}{code}" if fault.status and (fault.code or fault.status >= 300) else str(fault)
    return StorageError(f"Failed {doing}{tries}: {said}. {_advice(fault)}")


def _refused(answer: Answer, method: str) -> Fault:
    code = answer.document().error_code() if method != "HEAD" else ""
    region = answer.headers.get("x-amz-bucket-region", "")
    passing = answer.status in _RETRIED_STATUS or code in _RETRIED_CODES
    return Fault(
        f"the bucket is in region {region}" if region and answer.status in (301, 307, 400) else "",
        status=answer.status,
        code=code,
        passing=passing,
        arrived=answer.status >= 500,
    )


def _tls_reason(error: SSLError) -> str:
    return "certificate not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else "no common protocol"


def _advice(fault: Fault) -> str:
    if fault.code == "NoSuchBucket":
        return "Create the bucket, or name another one."
    if fault.code == "RequestTimeTooSkewed":
        return "Set this machine's clock."
    if fault.code == "NoSuchKey":
        return "Run again."
    if fault.status in (301, 307) or (fault.status == 400 and str(fault)):
        return f"Set AWS_REGION: {fault}." if str(fault) else "Set AWS_REGION to the bucket's region."
    if fault.status in (400, 401, 403):
        return "Check the credentials, the region and the permissions that docs/storage.md lists."
    if fault.status == 501:
        return "The service lacks what stage1 needs; docs/storage.md says what that is."
    if str(fault).startswith("TLS"):
        return "Name the service's authority in AWS_CA_BUNDLE; verification cannot be switched off."
    return "Check that the service is up and AWS_ENDPOINT_URL is right, then run again."
