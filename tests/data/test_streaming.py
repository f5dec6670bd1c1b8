"""Shards: the bytes that were split, every image once whoever reads and wherever one stops."""

import io
import json
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stage1.cli.main import app
from stage1.data import SPLITS, ImageBatches, Manifest, Preprocessing, Rows, SplitConfig, make_split
from stage1.data.loading import load_images
from stage1.data.packing import pack
from stage1.data.shards import INDEX
from stage1.data.streaming import ShardedImages
from stage1.errors import BadArtifact, BadData, BadInput, StorageError
from stage1.storage.folder import FolderReader
from stage1.training.batches import Sampler
from stage1.training.processes import Processes
from tests.servers.minio import MinioServer

PREPROCESSING = Preprocessing(image_size=8)
SMALL = 64 * 5 / 1e6
"""Five pictures of 8 x 8 a shard."""


@pytest.fixture(scope="module")
def manifest(picture: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """120 pictures in four formats, two of them with equal bytes."""
    root = tmp_path_factory.mktemp("street")
    kinds = ("PNG", "JPEG", "BMP", "WEBP")
    for seed in range(120):
        folder = root / ("roadwork" if seed % 3 == 0 else "clear")
        folder.mkdir(exist_ok=True)
        (folder / f"{seed}.png").write_bytes(picture(seed, kind=kinds[seed % 4]))
    (root / "clear" / "copy.png").write_bytes(picture(1, kind="JPEG"))
    return make_split(str(root), SplitConfig())[0]


@pytest.fixture(scope="module")
def shards(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("shards") / "of" / "street")
    pack(manifest, uri, megapixels=SMALL)
    return uri


def files(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def rows_of(manifest: Manifest, *splits: str) -> Rows:
    return manifest.rows(*splits, allowed=SPLITS)


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # webdataset leaves its files to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed file")
def test_any_program_that_reads_webdatasets_finds_every_image_with_its_label(manifest: Manifest, shards: str) -> None:
    table = manifest.table
    found = {}
    for path in sorted(Path(shards).glob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False):
            [kind] = {"png", "jpg", "bmp", "webp"} & set(sample)
            found[sample["__key__"]] = (path.name.split("-0")[0], int(sample["cls"]), kind, sample[kind])
    assert len(found) == len(table) == 121
    for row in table.to_pylist():
        split, label, kind, data = found[row["id"]]
        assert (split, label) == (row["split"], row["label"])
        assert data == (Path(manifest.roots[row["root"]]) / row["uri"]).read_bytes()
        assert kind == {b"\x89P": "png", b"\xff\xd8": "jpg", b"BM": "bmp", b"RI": "webp"}[data[:2]]


@pytest.mark.parametrize("splits", [("train",), ("val_select", "val_calib", "val_test"), ("val_test",)])
@pytest.mark.parametrize("memory_limit_mb", [0, 1])
def test_pixels_from_shards_are_those_from_files(
    manifest: Manifest, shards: str, splits: tuple[str, ...], memory_limit_mb: int
) -> None:
    rows = rows_of(manifest, *splits)
    images = ImageBatches(rows, PREPROCESSING, memory_limit_mb, shards=shards)
    expected = load_images(rows, PREPROCESSING)
    order = np.random.default_rng(0).permutation(len(rows))
    parts = [order[:7], order[:0], order[7:], order[:3]]
    for batch, indices in zip(images.batches(parts), parts, strict=True):
        assert np.array_equal(batch, expected[indices])
    assert np.array_equal(images.take(order), expected[order])
    assert [PREPROCESSING.load(data).tobytes() for data in images.files(order)] == [
        each.tobytes() for each in expected[order]
    ]


class Watched(ShardedImages):
    """Notes which rows are read and how often each shard is fetched."""

    def __init__(self, rows: Rows, uri: str) -> None:
        super().__init__(rows, uri)
        self.rows_read: Counter[int] = Counter()
        self.fetched: Counter[int] = Counter()
        self.most_held = 0
        self.noting = threading.Lock()

    def read(self, index: int, *, max_pixels: int) -> bytes:
        with self.noting:
            self.rows_read[index] += 1
            self.most_held = max(self.most_held, len(self._held))
        return super().read(index, max_pixels=max_pixels)

    def _fetch(self, shard: int) -> list[bytes]:
        with self.noting:
            self.fetched[shard] += 1
        return super()._fetch(shard)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_ranks=st.integers(1, 5),
    num_workers=st.integers(1, 4),
    batch_size=st.integers(2, 20),
    window=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_an_epoch_killed_anywhere_goes_on_with_the_images_that_are_left_in_the_same_order(
    manifest: Manifest, shards: str, num_ranks: int, num_workers: int, batch_size: int, window: int, seed: int, data
) -> None:
    """Real shards are read: what came before the stop and after it is the epoch, each image once over all ranks."""
    rows = rows_of(manifest, "train")
    expected = load_images(rows, PREPROCESSING)
    seen: list[int] = []
    for rank in range(num_ranks):

        def sampler(threads: int) -> Sampler:
            images = ImageBatches(rows, PREPROCESSING, 0, threads, shards=shards)
            processes = Processes(rank, num_ranks)  # noqa: B023
            return Sampler(images, num_ranks * batch_size, seed, window=window, processes=processes)

        whole = [batch.tolist() for batch in sampler(1).rows_of_epoch(3)]
        stop = data.draw(st.integers(0, len(whole)))
        before = [batch for _, batch in zip(range(stop), sampler(num_workers).epoch(3), strict=False)]
        after = list(sampler(1).epoch(3, first_step=stop))
        assert [batch.rows_B.tolist() for batch in before + after] == whole
        for batch in before + after:
            own = batch.rows_B[batch.start : batch.start + len(batch.images_bHW3)]
            assert np.array_equal(batch.images_bHW3.numpy(), expected[own])
            seen += own.tolist()
    assert sorted(seen) == list(range(len(rows)))


def test_a_pass_fetches_every_shard_once_and_holds_two_windows(manifest: Manifest, shards: str) -> None:
    rows = rows_of(manifest, "train")
    images = ImageBatches(rows, PREPROCESSING, 0, 2, shards=shards)
    watched = Watched(rows, shards)
    images._sharded = images._bytes = watched
    for batch in Sampler(images, 4, seed=0, window=3).epoch(0):
        assert len(batch.rows_B)
    assert set(watched.rows_read.values()) == {1}
    assert len(watched.rows_read) == len(rows)
    assert watched.fetched == Counter(range(len(np.unique(watched.shard_N))))
    assert 3 <= watched.most_held <= 6
    assert not watched._held


def test_a_pass_given_up_lets_go_of_everything(manifest: Manifest, shards: str) -> None:
    images = ImageBatches(rows_of(manifest, "train"), PREPROCESSING, 0, 2, shards=shards)
    passing = Sampler(images, 4, seed=0).epoch(0)
    next(passing)
    passing.close()  # type: ignore[attr-defined]
    assert images._sharded is not None
    assert not images._sharded._held
    assert len(list(Sampler(images, 4, seed=0).epoch(0))) == Sampler(images, 4, seed=0).steps_per_epoch


def test_packing_that_was_stopped_goes_on_and_ends_the_same(
    manifest: Manifest, shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stage1.storage.local import LocalStore

    whole, put_new = files(shards), LocalStore.put_new
    for survives in (0, 1, 7):
        out = tmp_path / str(survives)
        left = [survives]

        def dying(store: LocalStore, key: str, data: bytes) -> str:
            if not left[0]:  # noqa: B023
                raise StorageError("the power went")
            left[0] -= 1  # noqa: B023
            return put_new(store, key, data)

        monkeypatch.setattr(LocalStore, "put_new", dying)
        with pytest.raises(StorageError, match="power"):
            pack(manifest, str(out), megapixels=SMALL)
        monkeypatch.setattr(LocalStore, "put_new", put_new)
        with pytest.raises(BadArtifact if survives else BadInput, match=r"no index\.json|not there"):
            ShardedImages(rows_of(manifest, "train"), str(out))
        assert pack(manifest, str(out), megapixels=SMALL).num_found == survives
        assert files(out) == whole
    again = pack(manifest, str(out), megapixels=SMALL)
    assert again.num_found == again.num_shards == len(whole) - 1


def test_shards_of_another_manifest_are_refused(manifest: Manifest, shards: str, tmp_path: Path, picture) -> None:
    root = Path(manifest.roots[0])
    other = make_split(str(root), SplitConfig(salt="another"))[0]
    with pytest.raises(BadArtifact, match=r"train shards.*not those of this manifest"):
        ShardedImages(rows_of(other, "train"), shards)
    with pytest.raises(BadData, match=r"holds \d+ other objects"):
        pack(other, shards, megapixels=SMALL)
    with pytest.raises(BadData, match="other objects"):
        pack(manifest, shards, megapixels=2 * SMALL)
    part = rows_of(manifest, "train")
    with pytest.raises(BadArtifact, match="not those of this manifest"):
        ShardedImages(Rows(part.table.slice(0, 20), part.roots), shards)


def test_an_index_of_another_manifest_is_not_replaced(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(BadData, match=r"index\.json of another manifest"):
        pack(manifest, str(tmp_path), megapixels=SMALL)
    with pytest.raises(BadArtifact, match="is no index of shards"):
        ShardedImages(rows_of(manifest, "train"), str(tmp_path))


def tar_of(*members: tuple[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "swapped", "compressed", "foreign"])
def test_a_damaged_shard_is_named_and_never_used(manifest: Manifest, shards: str, tmp_path: Path, damage: str) -> None:
    for name, data in files(shards).items():
        (tmp_path / name).write_bytes(data)
    rows = rows_of(manifest, "train")
    victim, other = sorted(tmp_path.glob("train-*.tar"))[:2]
    data = bytearray(victim.read_bytes())
    with tarfile.open(victim) as archive:
        image = next(member for member in archive if not member.name.endswith(".cls"))
        members = [(member.name, archive.extractfile(member).read()) for member in archive.getmembers()]  # type: ignore[union-attr]
    data[image.offset_data + image.size // 2] ^= 1
    written = {
        "flipped": bytes(data),
        "cut": bytes(data[: len(data) // 2]),
        "swapped": other.read_bytes(),
        "compressed": tar_of(*members, mode="w:gz"),
        "foreign": tar_of((members[0][0], b"1"), ("0000.png", members[1][1])),
    }
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(written[damage])
    images = ImageBatches(rows, PREPROCESSING, 0, shards=str(tmp_path))
    with pytest.raises((BadArtifact, StorageError), match=victim.name):
        list(Sampler(images, 8, seed=0).epoch(0))


def test_a_fault_of_the_store_ends_the_epoch_with_the_shards_name(
    manifest: Manifest, shards: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ImageBatches(rows_of(manifest, "train"), PREPROCESSING, 0, shards=shards)

    def failing(_reader: FolderReader, path: str, **_: object) -> bytes:
        raise StorageError(f"{path} cannot be read")

    monkeypatch.setattr(FolderReader, "read", failing)
    with pytest.raises(StorageError, match=r"train-\d+-[0-9a-f]+\.tar cannot be read"):
        list(Sampler(images, 8, seed=0).epoch(0))


def test_unlabelled_rows_are_shards_of_their_own(manifest: Manifest, tmp_path: Path, picture) -> None:
    root = tmp_path / "more"
    root.mkdir()
    for seed in range(1000, 1030):
        (root / f"{seed}.png").write_bytes(picture(seed))
    config = SplitConfig(unlabeled=(str(root),))  # type: ignore[call-arg]
    both = make_split(manifest.roots[0], config)[0]
    uri = str(tmp_path / "shards")
    pack(both, uri, megapixels=SMALL)
    series = json.loads((tmp_path / "shards" / INDEX).read_text())["series"]
    assert sum(shard["num_rows"] for shard in series["train-unlabeled"]) == 30
    labelled, everything = (both.rows("train", allowed=("train",), unlabeled=wanted) for wanted in (False, True))
    for rows in (labelled, everything):
        images = ImageBatches(rows, PREPROCESSING, 0, shards=uri)
        assert np.array_equal(images.take(np.arange(len(rows))), load_images(rows, PREPROCESSING))
    assert len(everything) == len(labelled) + 30


def test_packed_and_streamed_by_a_real_server(
    manifest: Manifest, shards: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    minio.use(monkeypatch)
    bucket = minio.new_bucket()
    uri = f"s3://{bucket}/street/photos"
    manifest.write(tmp_path / "manifest.parquet")
    command = ["data", "shard", str(tmp_path), uri, "--megapixels", "0.01"]
    first, second = CliRunner().invoke(app, command), CliRunner().invoke(app, command)
    assert first.exit_code == second.exit_code == 0, first.output
    assert "121 images in" in first.output
    assert "of them found there" in second.output
    rows = rows_of(manifest, "train")
    images = ImageBatches(rows, PREPROCESSING, 0, shards=uri)
    seen = np.empty(len(rows), int)
    expected = load_images(rows, PREPROCESSING)
    for batch in Sampler(images, 8, seed=0).epoch(0):
        assert np.array_equal(batch.images_bHW3.numpy(), expected[batch.rows_B])
        seen[batch.rows_B] = 1
    assert seen.sum() == len(rows)
    names = [entry.object_name for entry in minio.client.list_objects(bucket, recursive=True)]
    victim = next(name for name in names if "train-" in name)
    minio.client.remove_object(bucket, victim)
    with pytest.raises(BadArtifact, match=os.path.basename(victim)):  # noqa: PTH119
        list(Sampler(images, 8, seed=0).epoch(0))
