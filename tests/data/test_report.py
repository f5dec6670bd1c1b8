"""The split report: counts that add up and warnings with both numbers, before any GPU time is spent."""

import json

import numpy as np
import pyarrow as pa
import pytest

from stage1.data.config import SplitConfig
from stage1.data.manifest import SCHEMA, SPLITS, Manifest
from stage1.data.report import split_report

CONFIG = SplitConfig()


def manifest(positives: dict[str, int], negatives: dict[str, int], images_per_group: int = 1) -> Manifest:
    split_N = [split for counts in (positives, negatives) for split in SPLITS for _ in range(counts[split])]
    label_N = [1] * sum(positives.values()) + [0] * sum(negatives.values())
    count = len(split_N)
    table = pa.table(
        {
            "id": [str(index) for index in range(count)],
            "root": [0] * count,
            "uri": [f"{index}.png" for index in range(count)],
            "digest": [index.to_bytes(32, "big") for index in range(count)],
            "label": label_N,
            "group": [f"{split}-{index // images_per_group}" for index, split in enumerate(split_N)],
            "split": split_N,
            "source": [""] * count,
            "synthetic": [False] * count,
            "width": np.full(count, 8, np.int32),
            "height": np.full(count, 8, np.int32),
        },
        schema=SCHEMA,
    )
    return Manifest(table, ("/nowhere",), "s", CONFIG.fractions.model_dump(), ("no", "yes"), "d" * 64)


def report(counts: Manifest, config: SplitConfig = CONFIG, skipped: list[tuple[str, str]] | None = None) -> dict:
    made = split_report("data", counts, config, skipped=skipped or [], groups_merged=3, num_copies=5)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def each(train: int, select: int, calib: int, test: int) -> dict[str, int]:
    return dict(zip(SPLITS, (train, select, calib, test), strict=True))


def test_counts_per_split() -> None:
    made = report(manifest(each(700, 150, 160, 170), each(701, 151, 161, 171)))
    assert made["num_images"] == 2364
    counted = {name: {key: made["splits"][name][key] for key in ("images", "positives", "groups")} for name in SPLITS}
    assert counted["val_test"] == {"images": 341, "positives": 170, "groups": 341}
    assert counted["train"] == {"images": 1401, "positives": 700, "groups": 1401}
    assert made["warnings"] == []
    assert made["duplicates"] == {"images": 5, "groups_merged": 3}


@pytest.mark.parametrize(
    ("positives", "misses"), [(148, -1), (149, 0), (235, 0), (236, 1), (455, 3), (456, 4), (523, 5)]
)
def test_certification_follows_the_published_table(positives: int, misses: int) -> None:
    """Clopper-Pearson at 95 %, FNR 2 %: 149, 236, 313, 386, 456, 523 positives for 0 to 5 misses (METHODS)."""
    made = report(manifest(each(2000, 600, 600, positives), each(2000, 600, 600, positives)))["certification"]
    assert made["test_positives"] == positives
    assert made["certifiable_misses"] == misses
    assert made["needed_no_miss"] == 149
    assert [(row["misses"], row["needed"]) for row in made["rows"]] == [
        (0, 149), (1, 236), (2, 313), (3, 386), (4, 456), (5, 523),
    ]  # fmt: skip


def test_certifiable_misses_stand_between_their_needs() -> None:
    from stage1.conformal import positives_needed

    misses = report(manifest(each(5, 5, 5, 5000), each(5, 5, 5, 5000)))["certification"]["certifiable_misses"]
    assert positives_needed(0.02, misses, 0.95) <= 5000 < positives_needed(0.02, misses + 1, 0.95)


def test_too_few_positives_are_told_with_both_numbers() -> None:
    warnings = report(manifest(each(700, 150, 31, 47), each(700, 150, 31, 47)))["warnings"]
    assert len(warnings) == 2
    assert "val_calib has 31 positives" in warnings[0]
    assert "val_test has 47 positives" in warnings[1]
    assert all("at least 149" in warning and "there are 928 in all" in warning for warning in warnings)


def test_just_enough_positives_are_enough() -> None:
    """.98 ** 149 = .0493 <= .05 < .0503 = .98 ** 148."""
    assert report(manifest(each(700, 150, 149, 149), each(700, 150, 149, 149)))["warnings"] == []
    assert len(report(manifest(each(700, 150, 148, 149), each(700, 150, 148, 149)))["warnings"]) == 1


def test_a_laxer_limit_needs_fewer() -> None:
    """(1 - .2) ** n <= .1 for n >= 10.3."""
    counts = manifest(each(700, 150, 31, 47), each(700, 150, 31, 47))
    made = report(counts, SplitConfig(max_fnr=0.2, confidence=0.9))
    assert made["certification"]["needed_no_miss"] == 11
    assert made["warnings"] == []


def test_an_empty_split_is_told() -> None:
    warnings = report(manifest(each(700, 0, 160, 170), each(700, 0, 160, 170)))["warnings"]
    assert warnings == ["val_select is empty: give more groups or another salt."]


def test_uneven_class_balance_is_told() -> None:
    warnings = report(manifest(each(700, 100, 160, 170), each(700, 200, 160, 170), images_per_group=10))["warnings"]
    assert len(warnings) == 1
    assert warnings[0].startswith("val_select has 33.3% positives (")
    assert "the whole 47.9%" in warnings[0]  # 1130 of 2360


def test_what_was_skipped_is_counted_and_the_first_hundred_named() -> None:
    skipped = [(f"{index}.png", "empty" if index % 3 else "hidden") for index in range(150)]
    made = report(manifest(each(700, 150, 160, 170), each(700, 150, 160, 170)), skipped=skipped)
    assert made["skipped_by_reason"] == {"empty": 100, "hidden": 50}
    assert made["skipped"] == [{"path": path, "reason": reason} for path, reason in skipped[:100]]
