"""A real MinIO server behind a proxy that spoils requests."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage1.errors import Conflict, StorageError
from stage1.storage.bucket import BucketReader
from stage1.storage.retrying import Retrying
from stage1.storage.s3 import S3Store
from stage1.storage.service import Service
from tests.servers.faults import KINDS, Faults, Kind, faults_before
from tests.servers.minio import MinioServer

PATIENT = Retrying(deadline_s=20, silence_s=0.3, first_wait_s=0.001)
ONCE = Retrying(deadline_s=0, silence_s=0.3)


@pytest.fixture(scope="module")
def faults(minio: MinioServer) -> Iterator[Faults]:
    with faults_before(minio.endpoint) as proxy:
        yield proxy


@pytest.fixture
def bucket(minio: MinioServer, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> str:
    minio.use(monkeypatch)
    faults.always = None
    faults.begin()
    return minio.new_bucket()


def behind(faults: Faults, bucket: str, retrying: Retrying) -> S3Store:
    return S3Store(Service(faults.endpoint, "us-east-1"), bucket, "p", retrying)


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_anywhere_is_not_noticed(faults: Faults, bucket: str, kind: Kind) -> None:
    store = behind(faults, bucket, PATIENT)
    for fail_at in range(1, 6):
        faults.begin({fail_at: kind})
        key = f"k{fail_at}"
        first = store.put_new(key, b"one")
        second = store.swap(key, b"two", first)
        assert (store.get(key).data, store.get(key).version) == (b"two", second)
        assert key in store.list()
        assert faults.requests > 5, "the spoiled request was sent again"


@pytest.mark.parametrize("kind", ["reset after", "silence"])
def test_a_write_whose_answer_was_lost_is_ours_and_not_a_conflict(faults: Faults, bucket: str, kind: Kind) -> None:
    store = behind(faults, bucket, PATIENT)
    faults.begin({1: kind, 3: kind})
    version = store.put_new("a", b"1")  # put, look
    assert store.get("a").version == version  # get, get
    faults.begin({1: kind})
    swapped = store.swap("a", b"2", version)
    assert (store.get("a").data, store.get("a").version) == (b"2", swapped)


def test_another_writers_object_is_a_conflict_even_after_a_fault(faults: Faults, bucket: str) -> None:
    store = behind(faults, bucket, PATIENT)
    store.put_new("a", b"same")
    faults.begin({1: "reset before"})
    with pytest.raises(Conflict, match="exists already"):
        store.put_new("a", b"same")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_stays_names_the_key(faults: Faults, bucket: str, minio: MinioServer, kind: Kind) -> None:
    faults.always = kind
    store = behind(faults, bucket, Retrying(deadline_s=0.5, silence_s=0.3, first_wait_s=0.01))
    with pytest.raises(StorageError, match=f"s3://{bucket}/p/a/b") as raised:
        store.get("a/b")
    faults.always = None
    assert minio.secret_key not in str(raised.value)


def test_a_body_that_was_damaged_on_the_way_is_refused_and_sent_again(faults: Faults, bucket: str) -> None:
    faults.begin({1: "damaged"})
    store = behind(faults, bucket, PATIENT)
    store.put_new("a", b"right")
    assert faults.requests == 2
    assert store.get("a").data == b"right"


def test_bytes_that_changed_in_the_store_are_not_returned(bucket: str, minio: MinioServer, faults: Faults) -> None:
    import io

    store = behind(faults, bucket, ONCE)
    metadata = {"stage1-sha256": "0" * 64}
    minio.client.put_object(bucket, "p/a", io.BytesIO(b"x"), 1, metadata=metadata)
    with pytest.raises(StorageError, match="SHA-256"):
        store.get("a")


@pytest.mark.parametrize("kind", ["503", "reset after"])
def test_parts_are_sent_again_and_the_object_is_whole(
    faults: Faults, bucket: str, minio: MinioServer, tmp_path: Path, kind: Kind
) -> None:
    data = os.urandom(33 << 20)
    (tmp_path / "big").write_bytes(data)
    store = behind(faults, bucket, Retrying(deadline_s=20, silence_s=5, first_wait_s=0.001))
    store._single_put_bytes = 1 << 20
    for fail_at in range(2, 7):  # look, begin, three parts, complete
        faults.begin({fail_at: kind})
        key = f"big-{secrets.token_hex(3)}"
        version = store.put_file_new(key, tmp_path / "big")
        stored = store.get(key)
        assert stored.data == data
        assert stored.version == version
        with pytest.raises(Conflict):
            store.put_file_new(key, tmp_path / "big")


def test_a_failed_upload_leaves_no_parts(faults: Faults, bucket: str, minio: MinioServer, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(33 << 20))
    store = behind(faults, bucket, Retrying(deadline_s=0, silence_s=5))
    store._single_put_bytes = 1 << 20
    faults.begin({4: "503"})
    with pytest.raises(StorageError, match="p/big"):
        store.put_file_new("big", tmp_path / "big")
    assert store.list() == []
    assert minio.client._list_multipart_uploads(bucket, prefix="p/big").uploads == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_to_a_file_goes_on_where_it_stopped(
    faults: Faults, bucket: str, minio: MinioServer, tmp_path: Path, kind: Kind
) -> None:
    import io

    data = os.urandom(3 << 20)
    minio.client.put_object(bucket, "my data/\u00fc 1.bin", io.BytesIO(data), len(data))
    reader = BucketReader(Service(faults.endpoint, "us-east-1"), bucket, "my data", PATIENT)
    faults.begin({1: kind})
    reader.fetch("\u00fc 1.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert faults.requests == 2
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
