"""Assignment is a function of the group alone; whatever shares bytes stays together."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stage1.data.config import Fractions
from stage1.data.manifest import SPLITS
from stage1.data.splits import Link, assign, place

FRACTIONS = Fractions().model_dump()
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def test_a_position_is_the_first_53_bits_of_the_salted_hash() -> None:
    groups = [f"drive-{index}" for index in range(300)]
    expected = []
    for group in groups:
        bits = hashlib.sha256(f"4:salt:{group}".encode()).hexdigest()[:16]
        position = (int(bits, 16) >> 11) / 2**53
        expected.append(0 if position < 0.7 else 1 if position < 0.8 else 2 if position < 0.9 else 3)
    assert assign(groups, "salt", FRACTIONS).tolist() == expected


@given(st.lists(names, unique=True, max_size=30), st.lists(names, unique=True, max_size=30), names)
def test_other_groups_never_matter(old: list[str], new: list[str], salt: str) -> None:
    alone = dict(zip(old, assign(old, salt, FRACTIONS), strict=True))
    mixed = list(reversed(old)) + [name for name in new if name not in alone]
    together = dict(zip(mixed, assign(mixed, salt, FRACTIONS), strict=True))
    assert all(together[name] == alone[name] for name in old)


def test_fractions_are_met_over_many_groups() -> None:
    count = 20_000
    split_G = assign([str(index) for index in range(count)], "stage1", FRACTIONS)
    for index, split in enumerate(SPLITS):
        share = FRACTIONS[split]
        error = np.sqrt(share * (1 - share) / count)
        assert abs((split_G == index).mean() - share) < 4 * error


def test_salts_divide_independently() -> None:
    groups = [str(index) for index in range(20_000)]
    one, other = assign(groups, "a", FRACTIONS), assign(groups, "b", FRACTIONS)
    assert abs(((one == 3) & (other == 3)).mean() - 0.01) < 4 * np.sqrt(0.01 * 0.99 / len(groups))


def test_salt_and_group_do_not_run_together() -> None:
    many = [f"{index}" for index in range(200)]
    assert assign(["1" + name for name in many], "a", FRACTIONS).tolist() != assign(many, "a1", FRACTIONS).tolist()


def merged(groups: list[str], contents: list[int]) -> tuple[list[str], list[int], int]:
    link = Link(np.array(contents, np.int64), np.empty((0, 2), np.int64))
    placed = place(pa.array(groups, pa.string()), np.zeros(len(groups), bool), [link], "s", FRACTIONS)
    assert placed.keep_N.all()
    return placed.groups.to_pylist(), placed.split_N.tolist(), placed.num_joined


def components(groups: list[str], contents: list[int]) -> list[set[str]]:
    """The plain way: join sets until nothing changes."""
    parts = [{group} for group in sorted(set(groups))]
    for content in set(contents):
        shared = {group for group, other in zip(groups, contents, strict=True) if other == content}
        touched = [part for part in parts if part & shared]
        parts = [part for part in parts if not part & shared] + [set().union(*touched)]
    return parts


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 12)), min_size=1, max_size=40))
def test_groups_that_share_bytes_are_one(rows: list[tuple[str, int]]) -> None:
    groups, contents = [row[0] for row in rows], [row[1] for row in rows]
    joint, split_N, num_joined = merged(groups, contents)
    parts = components(groups, contents)
    assert num_joined == len(set(groups)) - len(parts)
    for part in parts:
        inside = [index for index, group in enumerate(groups) if group in part]
        assert len({joint[index] for index in inside}) == 1
        own = {group: int(assign([group], "s", FRACTIONS)[0]) for group in part}
        keeper = min(part, key=lambda group: (own[group], group))
        assert {joint[index] for index in inside} == {keeper}
        assert {split_N[index] for index in inside} == {min(own.values())}


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 12)), min_size=1, max_size=20),
    st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(0, 12)), max_size=20),
)
def test_new_data_moves_images_towards_training_only(old: list[tuple[str, int]], new: list[tuple[str, int]]) -> None:
    _, before, _ = merged(*map(list, zip(*old, strict=True)))
    _, after, _ = merged(*map(list, zip(*(old + new), strict=True)))
    assert all(later <= earlier for earlier, later in zip(before, after, strict=False))


@pytest.mark.parametrize("bad", [{"train": 0.9}, {"val_test": 0.0, "train": 0.8}, {"test": 0.1}])
def test_fractions_are_positive_and_sum_to_one(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Fractions(**bad)


def test_fractions_name_the_splits() -> None:
    assert tuple(Fractions.model_fields) == SPLITS
