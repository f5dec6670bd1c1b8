from pathlib import Path

import pytest

from stage1 import storage
from stage1.errors import BadInput
from stage1.storage import open_store
from stage1.storage.keys import check_key
from stage1.storage.opening import local_path


def test_public_names() -> None:
    assert sorted(storage.__all__) == [
        "Entry",
        "LocalStore",
        "Reader",
        "Store",
        "StoredObject",
        "open_beside",
        "open_reader",
        "open_store",
    ]
    assert all(hasattr(storage, name) for name in storage.__all__)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("runs/store", "runs/store"),
        ("/srv/my models", "/srv/my models"),
        ("/srv/100%25", "/srv/100%25"),
        ("file:///srv/store", "/srv/store"),
        ("file:///srv/my%20models", "/srv/my models"),
        ("FILE:///srv/store", "/srv/store"),
        ("file://localhost/srv", "/srv"),
    ],
)
def test_paths_and_file_uris_name_folders(uri: str, path: str) -> None:
    assert local_path(uri) == Path(path)


@pytest.mark.parametrize("uri", ["ftp://host/x", "https://host/bucket", "gs:x"])
def test_an_unknown_scheme_says_what_is_supported(uri: str) -> None:
    with pytest.raises(BadInput, match=r"Supported: a folder .* file:///.* or s3://"):
        open_store(uri)


@pytest.mark.parametrize(
    "uri", ["", "file://other/srv", "file:///srv?x=1", "file:///srv#x", "file:relative", "a\0b", "file:///a%00b"]
)
def test_an_odd_address_is_bad_input(uri: str) -> None:
    with pytest.raises(BadInput):
        open_store(uri)


def test_a_file_uri_and_its_path_are_one_store(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/s").put_new("a", b"1")
    assert open_store(str(tmp_path / "s")).get("a").data == b"1"


def test_uri_of_is_absolute_and_opens_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("s")
    assert store.uri_of("a/b/") == str(tmp_path / "s" / "a" / "b")
    store.put_new("a/b/c", b"1")
    assert open_store(store.uri_of("a/b")).get("c").data == b"1"


@pytest.mark.parametrize("key", ["a", "a/b.json", "A_1/x-y/0.z", "a..b", "x" * 200, "/".join(["abc"] * 128)])
def test_plain_names_are_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        ".a",
        "a/.b",
        "-a",
        "a\\b",
        "a b",
        "a\n",
        "a\0",
        "ä",
        "a:b",
        "x" * 201,
        "/".join(["abcd"] * 128),
    ],
)
def test_whatever_leads_out_or_hides_is_no_key(key: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "s"))
    uses = (check_key, store.get, lambda k: store.put_new(k, b""), lambda k: store.swap(k, b"", None))
    for use in uses:
        with pytest.raises(BadInput, match="Need a key"):
            use(key)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("prefix", ["..", "../", "/", "a/../../"])
def test_a_prefix_does_not_lead_out(prefix: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for use in (store.list, store.uri_of):
        with pytest.raises(BadInput):
            use(prefix)
