"""Data sets as they are: odd but honest names are read, whatever leads out of the root is not."""

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stage1.errors import BadData, BadInput, NotFound, StorageError
from stage1.storage import Entry, Reader, open_reader
from tests.servers.minio import MinioServer

NAMES = [
    "100%25.jpg",
    "50% off.jpg",
    "a b/c d.jpg",
    "a+b.jpg",
    "plain.jpg",
    "q?x=1&y#z.jpg",
    "stra\u00dfe/\u4f60\u597d.jpg",
    "~tilde'\"(1).jpg",
]
"""Sorted as the bytes of their UTF-8."""


@dataclass
class DataSet:
    """A root, and a way to put a file there that is not ours."""

    uri: str
    put: Callable[[str, bytes], object]


@pytest.fixture(params=["folder", "minio"])
def data(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    if request.param == "folder":
        root = tmp_path / "street photos"
        root.mkdir()
        (tmp_path / "secret").write_bytes(b"outside")

        def write(name: str, content: bytes) -> None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)

        return DataSet(str(root), write)
    server: MinioServer = request.getfixturevalue("minio")
    server.use(monkeypatch)
    bucket = server.new_bucket()
    server.client.put_object(bucket, "secret", io.BytesIO(b"outside"), 7)
    return DataSet(
        f"s3://{bucket}/street photos",
        lambda name, content: server.client.put_object(
            bucket, f"street photos/{name}", io.BytesIO(content), len(content)
        ),
    )


def filled(data: DataSet) -> Reader:
    for name in NAMES:
        data.put(name, name.encode())
    return open_reader(data.uri)


def test_every_name_is_listed_and_read(data: DataSet, tmp_path: Path) -> None:
    reader = filled(data)
    entries = list(reader.list())
    assert [(entry.path, entry.num_bytes, entry.refused) for entry in entries] == [
        (name, len(name.encode()), "") for name in NAMES
    ]
    for number, name in enumerate(NAMES):
        assert reader.read(name) == name.encode()
        reader.fetch(name, tmp_path / f"copy{number}")
        assert (tmp_path / f"copy{number}").read_bytes() == name.encode()
    assert pickle.loads(pickle.dumps(reader)).read(NAMES[0]) == NAMES[0].encode()


def test_a_folder_of_it_is_listed_alone(data: DataSet) -> None:
    reader = filled(data)
    assert [entry.path for entry in reader.list("a b")] == ["a b/c d.jpg"]
    assert list(reader.list("a")) == []
    assert list(reader.list("none")) == []


def test_other_bytes_have_another_etag(data: DataSet) -> None:
    data.put("a.jpg", b"1")
    reader = open_reader(data.uri)
    (before,) = reader.list()
    assert [before] == list(reader.list())
    data.put("a.jpg", b"22")
    (after,) = reader.list()
    assert after.etag != before.etag


@pytest.mark.parametrize("path", ["../secret", "a b/../../secret", "/secret", "", ".", "a//b", "a b/./c d.jpg", "a\0b"])
def test_nothing_outside_the_root_is_reached(data: DataSet, tmp_path: Path, path: str) -> None:
    reader = filled(data)
    with pytest.raises(BadData, match="below the data set's root"):
        reader.read(path)
    with pytest.raises(BadData, match="below the data set's root"):
        reader.fetch(path, tmp_path / "copy")
    if path:
        with pytest.raises(BadData, match="below the data set's root"):
            list(reader.list(path))
    assert not (tmp_path / "copy").exists()


def test_what_is_not_there_is_not_found(data: DataSet, tmp_path: Path) -> None:
    reader = filled(data)
    for path in ("none.jpg", "a b", "plain.jpg/x", "secret"):
        with pytest.raises(NotFound, match=path):
            reader.read(path)
        with pytest.raises(NotFound, match=path):
            reader.fetch(path, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_more_than_was_expected_is_not_read(data: DataSet, tmp_path: Path) -> None:
    data.put("a.jpg", b"12345")
    reader = open_reader(data.uri)
    assert reader.read("a.jpg", max_bytes=5) == b"12345"
    with pytest.raises(StorageError, match=r"a\.jpg.* has 5 bytes, at most 4"):
        reader.read("a.jpg", max_bytes=4)
    with pytest.raises(StorageError, match=r"a\.jpg.* has 5 bytes, at most 4"):
        reader.fetch("a.jpg", tmp_path / "copy", max_bytes=4)
    reader.fetch("a.jpg", tmp_path / "copy", max_bytes=5)
    assert (tmp_path / "copy").read_bytes() == b"12345"


def test_a_copy_that_cannot_be_written_names_the_place(data: DataSet, tmp_path: Path) -> None:
    data.put("a.jpg", b"1")
    with pytest.raises(StorageError, match=r"Failed writing .*none/copy"):
        open_reader(data.uri).fetch("a.jpg", tmp_path / "none" / "copy")


class TestFolder:
    def test_links_and_special_files_are_named_and_not_read(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "real").mkdir(parents=True)
        (root / "real" / "a.jpg").write_bytes(b"1")
        (tmp_path / "secret").write_bytes(b"outside")
        (root / "link.jpg").symlink_to(tmp_path / "secret")
        (root / "linked").symlink_to(tmp_path)
        os.mkfifo(root / "pipe")
        reader = open_reader(str(root))
        assert [(entry.path, entry.refused) for entry in reader.list()] == [
            ("link.jpg", "symlink"),
            ("linked", "symlink"),
            ("pipe", "special"),
            ("real/a.jpg", ""),
        ]
        for path in ("link.jpg", "linked/secret"):
            with pytest.raises(BadData, match="symbolic link"):
                reader.read(path)
        with pytest.raises(BadData, match="symbolic link"):
            list(reader.list("linked"))
        with pytest.raises(BadData, match="no plain file"):
            reader.read("pipe")

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "a.jpg").write_bytes(b"1")
        (tmp_path / "link").symlink_to(tmp_path / "root")
        assert open_reader(str(tmp_path / "link")).read("a.jpg") == b"1"

    def test_a_name_that_is_no_text_is_named_and_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"1")
        reader = open_reader(str(tmp_path / "root"))
        assert list(reader.list()) == [Entry("bad\\xff.jpg", 0, "", "odd name")]
        with pytest.raises(BadData):
            reader.read(os.fsdecode(b"bad\xff.jpg"))

    def test_what_is_no_folder_is_bad_input(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(BadInput, match="which is no folder"):
            open_reader(str(tmp_path / "file"))
        with pytest.raises(BadInput, match="which is not there"):
            open_reader(str(tmp_path / "none"))


class TestBucket:
    def test_markers_of_empty_folders_are_no_files(self, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
        minio.use(monkeypatch)
        bucket = minio.new_bucket()
        minio.client.put_object(bucket, "photos/empty/", io.BytesIO(b""), 0)
        minio.client.put_object(bucket, "photos/a.jpg", io.BytesIO(b"1"), 1)
        assert [entry.path for entry in open_reader(f"s3://{bucket}/photos").list()] == ["a.jpg"]

    def test_more_than_a_page_is_listed_whole(self, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
        minio.use(monkeypatch)
        bucket = minio.new_bucket()
        names = [f"{number:04d}+ %.jpg" for number in range(1005)]
        for name in names:
            minio.client.put_object(bucket, name, io.BytesIO(b""), 0)
        assert [entry.path for entry in open_reader(f"s3://{bucket}").list()] == names

    def test_a_bucket_that_is_not_there_is_said(self, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
        minio.use(monkeypatch)
        reader = open_reader("s3://no-such-bucket-here")
        for use in (lambda: reader.read("a"), lambda: list(reader.list())):
            with pytest.raises(StorageError, match=r"NoSuchBucket\. Create the bucket"):
                use()
