"""Every form of source, local and on a real MinIO server; rules for boxes; hostile paths; nothing unaccounted for."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stage1.data import SplitConfig, make_split
from stage1.data.config import AnnotationRule
from stage1.data.listing import Listing
from stage1.data.origin import Origin, RowImages
from stage1.data.sources import read_source
from stage1.errors import BadArtifact, BadData, BadImage, StorageError
from stage1.storage.retrying import Retrying
from tests.servers.minio import MinioServer

Picture = Callable[..., bytes]
CONFIG = SplitConfig()


def labels(listing: Listing) -> dict[str, int]:
    return dict(zip(listing.table["uri"].to_pylist(), listing.table["label"].to_pylist(), strict=True))


def write_packed(path: Path, images: list[bytes | None], label: list, **more: object) -> None:
    """Write what `datasets` writes: struct{bytes, path}, label, class names beside the schema; 3 rows a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": data, "path": None} for data in images], kind)
    table = pa.table({"image": column, "label": label, **more})
    features = {"label": {"names": ["None", "Roadwork"], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=3)


@pytest.fixture
def packed(tmp_path: Path, picture: Picture) -> Path:
    """Two shards of 10 and 12 images, odd ones positive, in drives of 2."""
    for name, seeds in (("train-00000-of-00001", range(10)), ("test-00000-of-00001", range(10, 22))):
        write_packed(
            tmp_path / "hf" / "data" / f"{name}.parquet",
            [picture(seed) for seed in seeds],
            [seed % 2 for seed in seeds],
            group=[f"drive{seed // 2}" for seed in seeds],
        )
    return tmp_path / "hf"


def test_hugging_face_shards_are_read_by_row(packed: Path, picture: Picture) -> None:
    manifest, report = make_split(str(packed), CONFIG)
    assert (report["num_images"], report["num_groups"]) == (22, 11)
    assert manifest.class_names == ("None", "Roadwork")
    rows = manifest.rows("train", "val_select", "val_calib", "val_test", allowed=report["splits"].keys())
    images = RowImages(rows)
    order = images.storage_order().tolist()
    uris = [rows.table["uri"][index].as_py() for index in order]
    assert uris == [
        *(f"data/test-00000-of-00001.parquet#{row}" for row in range(12)),
        *(f"data/train-00000-of-00001.parquet#{row}" for row in range(10)),
    ]
    assert [images.read(index) for index in order] == [picture(seed) for seed in [*range(10, 22), *range(10)]]
    assert rows.labels[order].tolist() == [seed % 2 for seed in [*range(10, 22), *range(10)]]
    assert images.local_path(0) is None


def test_one_file_is_a_source_and_reading_is_a_row_group_at_a_time(packed: Path, picture: Picture) -> None:
    listing = read_source(str(packed / "data" / "train-00000-of-00001.parquet"), CONFIG)
    assert list(labels(listing)) == [f"train-00000-of-00001.parquet#{row}" for row in range(10)]
    file = listing.origin.packed_file("train-00000-of-00001.parquet")
    assert [file.place(row) for row in (0, 2, 3, 9)] == [(0, 0), (0, 2), (1, 0), (3, 0)]
    assert file.read_group(3).to_pylist() == [picture(9)]


def test_rows_without_bytes_or_beyond_the_end_are_bad_images(tmp_path: Path, picture: Picture) -> None:
    write_packed(tmp_path / "a.parquet", [picture(seed) for seed in range(98)] + [None, b"text"], [0, 1] * 50)
    _, report = make_split(str(tmp_path), SplitConfig(max_bad_fraction=0.02))
    assert report["skipped_by_reason"] == {"missing": 1, "not_an_image": 1}
    assert report["num_images"] == 98
    origin = Origin(str(tmp_path))
    for uri in ("a.parquet#100", "b.parquet#0", "../a.parquet#0"):
        with pytest.raises(BadImage):
            origin.read(uri)
    (tmp_path / "link.parquet").symlink_to(tmp_path / "a.parquet")
    with pytest.raises(BadImage, match="symbolic link"):
        origin.read("link.parquet#0")


def test_two_columns_of_bytes_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"left": [b"x"], "right": [b"y"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(BadData, match=r"one column of images .* 'left', 'right'"):
        read_source(str(tmp_path / "a.parquet"), CONFIG)


COCO = {
    "images": [
        {"id": 10, "file_name": "a.png", "width": 100, "height": 50, "group": "site 1"},
        {"id": 11, "file_name": "sub/b.png", "width": 100, "height": 50},
        {"id": 12, "file_name": "c.png", "width": 100, "height": 50},
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 7, "bbox": [0, 0, 50, 10]},  # .1 of the picture
        {"id": 2, "image_id": 11, "category_id": 7, "bbox": [0, 0, 10, 10]},  # .02
        {"id": 3, "image_id": 12, "category_id": 8, "bbox": [0, 0, 100, 50]},
    ],
    "categories": [{"id": 7, "name": "cone"}, {"id": 8, "name": "car"}],
}


def coco(tmp_path: Path, **changes: object) -> str:
    (tmp_path / "instances.json").write_text(json.dumps({**COCO, **changes}))
    return str(tmp_path / "instances.json")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (AnnotationRule(categories=("cone",)), {"a.png": 1, "sub/b.png": 1, "c.png": 0}),
        (AnnotationRule(categories=("7", "car")), {"a.png": 1, "sub/b.png": 1, "c.png": 1}),
        (AnnotationRule(categories=("cone",), min_area=0.05), {"a.png": 1, "sub/b.png": 0, "c.png": 0}),
        (AnnotationRule(categories=("cone",), min_area=0.1, too_small="skip"), {"a.png": 1, "c.png": 0}),
    ],
)
def test_coco_by_rule(tmp_path: Path, rule: AnnotationRule, expected: dict[str, int]) -> None:
    listing = read_source(coco(tmp_path), SplitConfig(positive_when=rule))
    assert labels(listing) == expected
    assert listing.table["group"].to_pylist()[:2] == ["site 1", None]
    assert listing.ignored == ([("sub/b.png", "too_small")] if rule.too_small == "skip" else [])


def test_coco_that_cannot_be_used(tmp_path: Path) -> None:
    rule = SplitConfig(positive_when=AnnotationRule(categories=("cone",)))
    with pytest.raises(BadData, match=r"set positive_when\.categories.*7 'cone', 8 'car'"):
        read_source(coco(tmp_path), CONFIG)
    with pytest.raises(BadData, match="names 'digger'"):
        read_source(coco(tmp_path), SplitConfig(positive_when=AnnotationRule(categories=("digger",))))
    with pytest.raises(BadData, match=r"images\[0\], column 'file_name': '../a.png' leads out"):
        read_source(coco(tmp_path, images=[{**COCO["images"][0], "file_name": "../a.png"}]), rule)  # type: ignore[index]
    with pytest.raises(BadData, match=r"annotations\[0\]: need the id of an image"):
        read_source(coco(tmp_path, images=COCO["images"][1:]), rule)  # type: ignore[index]
    with pytest.raises(BadData, match=r"images\.0\.width"):
        read_source(coco(tmp_path, images=[{**COCO["images"][0], "width": 0}]), rule)  # type: ignore[index]
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(BadData, match="Need COCO"):
        read_source(str(tmp_path / "x.json"), rule)


@pytest.fixture
def yolo(tmp_path: Path, picture: Picture) -> Path:
    root = tmp_path / "yolo"
    for part in ("images", "labels"):
        (root / "train" / part).mkdir(parents=True)
    (root / "data.yaml").write_text("names: [cone, car]\ntrain: ../elsewhere\n")
    for seed in range(4):
        (root / "train" / "images" / f"{seed}.png").write_bytes(picture(seed))
    (root / "train" / "labels" / "0.txt").write_text("0 .5 .5 .2 .5\n1 .5 .5 1 1\n")  # a cone on .1 of the picture
    (root / "train" / "labels" / "1.txt").write_text("0 0 0 .1 0 .1 .2 0 .2\n")  # a polygon in a box of .02
    (root / "train" / "labels" / "2.txt").write_text("1 .5 .5 1 1\n\n")
    (root / "train" / "labels" / "9.txt").write_text("0 .5 .5 1 1\n")
    return root


def test_yolo_by_rule(yolo: Path) -> None:
    rule = AnnotationRule(categories=("cone",))
    listing = read_source(str(yolo), SplitConfig(positive_when=rule))
    assert labels(listing) == {f"train/images/{index}.png": label for index, label in enumerate((1, 1, 0, 0))}
    assert ("train/labels/9.txt", "label_without_image") in listing.ignored
    small = SplitConfig(positive_when=AnnotationRule(categories=("0",), min_area=0.05))
    assert list(labels(read_source(str(yolo), small)).values()) == [1, 0, 0, 0]
    num_files = sum(path.is_file() for path in yolo.rglob("*"))
    assert len(listing.table) + len(listing.ignored) == num_files


@pytest.mark.parametrize("line", ["0 .5 .5 .2", "cone .5 .5 .2 .2", "0 .5 .5 200 .2", "0 nan .5 .2 .2"])
def test_yolo_lines_that_cannot_be(yolo: Path, line: str) -> None:
    (yolo / "train" / "labels" / "3.txt").write_text(f"1 .5 .5 1 1\n{line}\n")
    with pytest.raises(BadData, match=r"labels/3\.txt, line 2: need a class and a box"):
        read_source(str(yolo), SplitConfig(positive_when=AnnotationRule(categories=("cone",))))


@pytest.fixture
def bucket(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """bucket(folder): puts a folder's files into a new bucket below a prefix and returns its address."""
    from stage1.storage.s3 import S3Store  # noqa: F401 - the server is only worth its start where S3 is there

    minio.use(monkeypatch)

    def fill(folder: Path) -> str:
        from minio import Minio

        name = minio.new_bucket()
        host = minio.endpoint.removeprefix("http://")
        client = Minio(host, minio.access_key, minio.secret_key, secure=False)
        for path in folder.rglob("*"):
            if path.is_file():
                client.fput_object(name, f"street photos/{path.relative_to(folder)}", str(path))
        return f"s3://{name}/street photos"

    return fill


def test_a_folder_on_s3_gives_the_manifest_of_the_local_one(folder: Path, bucket: Callable[[Path], str]) -> None:
    (folder / "clear" / "bad ü.png").write_bytes(b"text")
    config = SplitConfig(max_bad_fraction=0.05)
    local, expected = make_split(str(folder), config)
    uri = bucket(folder)
    remote, report = make_split(uri, config)
    assert remote.table.equals(local.table)
    assert remote.roots == (uri,)
    assert report["skipped"] == expected["skipped"] == [{"path": "clear/bad ü.png", "reason": "not_an_image"}]
    assert RowImages(remote.rows("train", allowed=("train",))).read(0)


def test_sheets_parquet_coco_and_yolo_on_s3(
    packed: Path, yolo: Path, tmp_path: Path, picture: Picture, bucket: Callable[[Path], str]
) -> None:
    (packed / "sheet.csv").write_text("path,label\npictures/a.png,1\npictures/b.png,0\n")
    (packed / "pictures").mkdir()
    for seed, name in enumerate("ab"):
        (packed / "pictures" / f"{name}.png").write_bytes(picture(seed))
    coco(packed)
    uri = bucket(packed)
    sheet = read_source(f"{uri}/sheet.csv", CONFIG)
    assert labels(sheet) == {"pictures/a.png": 1, "pictures/b.png": 0}
    assert sheet.origin.read("pictures/a.png") == picture(0)
    shards = read_source(f"{uri}/data", CONFIG)
    assert len(shards.table) == 22
    assert shards.origin.read("train-00000-of-00001.parquet#4") == picture(4)
    rule = SplitConfig(positive_when=AnnotationRule(categories=("cone",)))
    assert list(labels(read_source(f"{uri}/instances.json", rule)).values()) == [1, 1, 0]
    assert list(labels(read_source(bucket(yolo), rule)).values()) == [1, 1, 0, 0]
    with pytest.raises(BadData, match="There is no s3://"):
        read_source(f"{uri}/none.csv", CONFIG)
    with pytest.raises(BadImage, match="There is no file"):
        sheet.origin.read("pictures/none.png")


def test_an_object_store_that_is_not_there_is_a_fault_and_no_bad_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Retrying, "attempts", lambda _: iter([1]))  # tests/storage shows the waiting
    with pytest.raises(StorageError, match=r"a\.png"):
        Origin("s3://bucket/photos").read("a.png")


def test_too_many_bytes_and_what_is_no_file(tmp_path: Path) -> None:
    with (tmp_path / "big.png").open("wb") as stream:
        stream.truncate(2**26 + 9)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    reasons = {}
    for name in ("big.png", "folder.png", "link.png", "none.png", "/etc/passwd", "../x"):
        with pytest.raises(BadImage) as caught:
            Origin(str(tmp_path)).read(name, max_pixels=1)
        reasons[name] = caught.value.reason
    assert reasons == {
        "big.png": "too_large",
        "folder.png": "missing",
        "link.png": "unreadable",
        "none.png": "missing",
        "/etc/passwd": "unreadable",
        "../x": "unreadable",
    }


def test_an_image_that_changed_or_went_away_is_told(folder: Path) -> None:
    manifest, _ = make_split(str(folder), CONFIG)
    images = RowImages(manifest.rows("train", allowed=("train",)))
    path = images.local_path(3)
    assert path is not None
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    path.write_bytes(stream.getvalue())
    with pytest.raises(BadArtifact, match="was changed since the split"):
        images.read(3)
    path.unlink()
    with pytest.raises(BadArtifact, match="It was there when"):
        images.read(3)
