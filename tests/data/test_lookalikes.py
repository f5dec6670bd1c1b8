"""Near-duplicates: what is found and what is not, against comparing all pairs; what may only train moves nothing."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stage1.data import Manifest, SplitConfig, make_split
from stage1.data.inspect import inspect
from stage1.data.lookalikes import look_links, near_report, perceptual_hash
from stage1.data.manifest import SPLITS
from stage1.data.neighbours import near_pairs
from stage1.data.splits import Link, assign, place
from stage1.errors import BadArtifact, BadData

FRACTIONS = SplitConfig().fractions.model_dump()


@pytest.mark.parametrize("distance", [0, 1, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 3000])
def test_near_pairs_are_those_of_comparing_all(count: int, distance: int) -> None:
    rng = np.random.default_rng(count + distance)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(1, count, 3):  # a third is an earlier hash with up to 10 bits turned
        bits = rng.choice(64, rng.integers(1, 11), replace=False)
        hashes[row] = hashes[row - 1] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    hashes = np.unique(hashes)
    one, other = np.triu_indices(len(hashes), 1)
    near = np.bitwise_count(hashes[one] ^ hashes[other]) <= distance
    assert near_pairs(hashes, distance).tolist() == np.stack([one[near], other[near]], axis=1).tolist()


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(-1, 1), st.booleans()), min_size=1, max_size=25
    )
)
def test_counts_are_those_of_all_pairs(rows: list[tuple[int, int, int, bool]]) -> None:
    """Hashes 0 to 6 with distance 1, a group's split is its number modulo 4."""
    hashes = np.array([row[0] for row in rows], np.uint64)
    group = np.array([row[1] for row in rows], np.int64)
    label = np.array([row[2] for row in rows], np.int8)
    looked = np.array([row[3] for row in rows])
    split = (group % 4).astype(np.int8)
    found = near_report(look_links(hashes, looked, 1), group, split, label)
    pairs = [
        (one, other)
        for one in range(len(rows))
        for other in range(one)
        if looked[one] and looked[other] and group[one] != group[other]
        if int(hashes[one] ^ hashes[other]).bit_count() <= 1
    ]
    assert found["pairs"] == len(pairs)
    assert found["images"] == len({row for pair in pairs for row in pair})
    assert found["label_conflicts"] == sum({label[one], label[other]} == {0, 1} for one, other in pairs)
    across = [frozenset((int(split[one]), int(split[other]))) for one, other in pairs if split[one] != split[other]]
    for name, count in found["across_splits"].items():
        wanted = frozenset(SPLITS.index(part) for part in name.split("-"))
        assert count == across.count(wanted), name
    known = {frozenset(pair) for pair in pairs}
    assert all(frozenset(pair) in known for pair in found["examples"])
    assert bool(found["examples"]) == bool(pairs)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9), st.just(False)), min_size=1, max_size=20),
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 9), st.just(True)), max_size=20),
)
def test_what_may_only_train_moves_no_image_and_leaks_nothing(real: list, extra: list) -> None:
    """Contents 0 and 1, 2 and 3 ... look the same."""
    pairs = np.array([(0, 1), (2, 3), (4, 5)])

    def placed(rows: list):
        groups, contents, only = (list(column) for column in zip(*rows, strict=True))
        link = Link(np.array(contents, np.int64), pairs)
        return place(pa.array(groups, pa.string()), np.array(only), [link], "s", FRACTIONS)

    alone, together = placed(real), placed(real + extra)
    assert together.split_N[: len(real)].tolist() == alone.split_N.tolist()
    assert together.keep_N[: len(real)].all()
    split_of: dict[str, set[int]] = {}
    for index, (_, content, only) in enumerate(real + extra):
        if together.keep_N[index]:
            looks = str(content // 2) if content < 6 else f"={content}"
            split_of.setdefault(looks, set()).add(int(together.split_N[index]))
            split_of.setdefault("g" + together.groups[index].as_py(), set()).add(int(together.split_N[index]))
            assert not only or together.split_N[index] == 0
    assert all(len(splits) == 1 for splits in split_of.values())
    held_out = {row[0] for row, split in zip(real, alone.split_N, strict=True) if split}
    assert not any(keep and row[0] in held_out for row, keep in zip(extra, together.keep_N[len(real) :], strict=True))


def scene(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Sixty scenes, each twice in groups of its own: as PNG, and at half the size as JPEG."""
    lines = ["path,label,group"]
    for seed in range(60):
        save(tmp_path / f"a{seed}.png", scene(seed))
        save(tmp_path / f"b{seed}.jpg", scene(seed).resize((80, 60)), quality=60)
        lines += [f"a{seed}.png,{seed % 2},g{seed}", f"b{seed}.jpg,{seed % 2},h{seed}"]
    (tmp_path / "sheet.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "sheet.csv"


def test_planted_near_duplicates_are_reported_and_merged(twins: Path) -> None:
    _, report = make_split(str(twins), SplitConfig())
    near = report["near_duplicates"]
    assert (near["pairs"], near["images"], near["label_conflicts"]) == (60, 120, 0)
    across = sum(near["across_splits"].values())
    own = assign([f"{side}{seed}" for side in "gh" for seed in range(60)], "stage1", FRACTIONS)
    assert across == int((own[:60] != own[60:]).sum()) > 0
    assert any(f"{across} near-duplicate pairs stand in two splits" in warning for warning in report["warnings"])
    manifest, merged = make_split(str(twins), SplitConfig(near_duplicates="merge"))
    assert (merged["num_groups"], merged["near_duplicates"]["pairs"]) == (60, 0)
    split = dict(zip(manifest.table["uri"].to_pylist(), manifest.table["split"].to_pylist(), strict=True))
    assert all(split[f"a{seed}.png"] == split[f"b{seed}.jpg"] for seed in range(60))
    _, unlooked = make_split(str(twins), SplitConfig(near_duplicates="off"))
    assert unlooked["near_duplicates"] == {"mode": "off", "distance": 4}


def test_pictures_without_contrast_have_no_hash() -> None:
    assert perceptual_hash(Image.new("RGB", (40, 30), (9, 9, 9))) is None
    assert perceptual_hash(scene(1)) is not None


def test_synthetic_and_unlabeled_sources(folder: Path, tmp_path: Path) -> None:
    for seed in range(20):
        save(tmp_path / "drawn" / ("roadwork" if seed % 2 else "clear") / f"{seed}.png", scene(seed))
        save(tmp_path / "raw" / "day 1" / f"{seed}.png", scene(100 + seed))
    before, _ = make_split(str(folder), SplitConfig())
    held_out = next(row for row in before.table.to_pylist() if row["split"] == "val_test")
    (tmp_path / "raw" / "copy.png").write_bytes((folder / held_out["uri"]).read_bytes())
    config = SplitConfig(synthetic=(str(tmp_path / "drawn"),), unlabeled=(str(tmp_path / "raw"),))
    manifest, report = make_split(str(folder), config)
    assert (report["num_images"], report["num_unlabeled"], report["num_synthetic"]) == (60, 20, 20)
    assert report["skipped"] == [{"path": "copy.png", "reason": "in_held_out_group"}]
    assert report["splits"]["train"]["unlabeled"] == report["splits"]["train"]["synthetic"] == 20
    real = [row for row in manifest.table.to_pylist() if row["root"] == 0]
    assert {row["uri"]: row["split"] for row in real} == dict(
        zip(before.table["uri"].to_pylist(), before.table["split"].to_pylist(), strict=True)
    )
    assert report["splits"]["val_test"]["images"] == len(before.rows("val_test", allowed=SPLITS))
    train = manifest.rows("train", allowed=("train",))
    everything = manifest.rows("train", allowed=("train",), unlabeled=True)
    assert set(train.labels) == {0, 1}
    assert len(everything) == len(train) + 20
    found = inspect(str(folder), config, per_kind=3)
    assert [picture.kind for picture in found.sheet] == [
        kind for kind in ("positive", "negative", "synthetic", "unlabeled") for _ in range(3)
    ]
    assert Image.open(io.BytesIO(found.sheet[0].jpeg)).format == "JPEG"


@pytest.mark.parametrize("what", ["synthetic", "unlabeled"])
def test_a_manifest_that_tests_on_what_may_only_train_is_refused(folder: Path, tmp_path: Path, what: str) -> None:
    manifest, _ = make_split(str(folder), SplitConfig())
    held_out = np.array([split != "train" for split in manifest.table["split"].to_pylist()])
    if what == "synthetic":
        column, values = "synthetic", pa.array(held_out)
    else:
        column, values = "label", pa.array(np.where(held_out, -1, 0).astype(np.int8))
    place_of = manifest.table.schema.get_field_index(column)
    wrong = manifest.table.set_column(place_of, manifest.table.schema.field(place_of), values)
    changed = Manifest(wrong, manifest.roots, "s", manifest.fractions, manifest.class_names, manifest.data_digest)
    changed.write(tmp_path / "m.parquet")
    with pytest.raises(BadArtifact, match=f"{held_out.sum()} {what} images"):
        Manifest.read(tmp_path / "m.parquet")


def test_a_synthetic_column_marks_rows_and_nonsense_is_refused(tmp_path: Path) -> None:
    lines = ["path,label,synthetic"]
    for seed in range(40):
        save(tmp_path / f"{seed}.png", scene(seed))
        lines.append(f"{seed}.png,{seed % 2},{'true' if seed < 10 else ''}")
    (tmp_path / "sheet.csv").write_text("\n".join(lines) + "\n")
    manifest, report = make_split(str(tmp_path / "sheet.csv"), SplitConfig())
    assert report["num_synthetic"] == 10
    assert {row["split"] for row in manifest.table.to_pylist() if row["synthetic"]} == {"train"}
    (tmp_path / "sheet.csv").write_text("\n".join([*lines, "1.png,1,perhaps"]) + "\n")
    with pytest.raises(BadData, match=r"line 42, column 'synthetic': need 0 or 1, got 'perhaps'"):
        make_split(str(tmp_path / "sheet.csv"), SplitConfig())
