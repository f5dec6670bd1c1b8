"""The split report: what went where, what was left out, and what the test split will be able to certify.

It is printed before any GPU time is spent, so that a data set too small for its promise is found here.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stage1.conformal import positives_needed
from stage1.data.config import SplitConfig
from stage1.data.manifest import SPLITS, Manifest

_NUM_SKIPPED_SHOWN = 100
_NUM_MISSES_SHOWN = 6
_BALANCE_TOLERANCE = 0.2


def split_report(
    data: str,
    manifest: Manifest,
    config: SplitConfig,
    *,
    skipped: Sequence[tuple[str, str]],
    groups_merged: int,
) -> dict[str, Any]:
    """Return the content of split.json.

    Args:
        data: Location of the data set as the user gave it.
        manifest: The finished manifest.
        config: For max_fnr and confidence.
        skipped: (path, reason) of everything that was listed and not used; used and skipped make what was listed.
        groups_merged: How many groups were joined into others because they share an image.
    """
    table = manifest.table
    splits = {split: _counts(table.filter(pc.field("split") == split)) for split in SPLITS}
    needed_no_miss = positives_needed(config.max_fnr, 0, config.confidence)
    return {
        "schema": "stage1/split/v1",
        "data": data,
        "data_digest": manifest.data_digest,
        "salt": manifest.salt,
        "fractions": dict(manifest.fractions),
        "num_images": table.num_rows,
        "num_groups": pc.count_distinct(table["group"]).as_py(),
        "splits": splits,
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped[:_NUM_SKIPPED_SHOWN]],
        "skipped_by_reason": dict(sorted(Counter(reason for _, reason in skipped).items())),
        "duplicates": {
            "images": table.num_rows - pc.count_distinct(table["digest"]).as_py(),
            "groups_merged": groups_merged,
        },
        "certification": {
            "max_fnr": config.max_fnr,
            "confidence": config.confidence,
            "test_positives": splits["val_test"]["positives"],
            "needed_no_miss": needed_no_miss,
            "certifiable_misses": _certifiable_misses(splits["val_test"]["positives"], config),
            "rows": [
                {"misses": misses, "needed": positives_needed(config.max_fnr, misses, config.confidence)}
                for misses in range(_NUM_MISSES_SHOWN)
            ],
        },
        "warnings": _too_few(splits, needed_no_miss, config) + _unbalanced(splits),
    }


def _counts(table: pa.Table) -> dict[str, int]:
    return {
        "images": table.num_rows,
        "positives": int(np.count_nonzero(table["label"].to_numpy())),
        "groups": pc.count_distinct(table["group"]).as_py(),
    }


def _certifiable_misses(positives: int, config: SplitConfig) -> int:
    """Return the most misses that `positives` answered positives can hold and still certify max_fnr; -1 for none."""

    def certified(misses: int) -> bool:
        return bool(positives_needed(config.max_fnr, misses, config.confidence) <= positives)

    if not certified(0):
        return -1
    low, high = 0, 1
    while certified(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if certified(middle) else (low, middle)
    return low


def _too_few(splits: dict[str, dict[str, int]], needed: int, config: SplitConfig) -> list[str]:
    warnings = [
        f"{split} is empty: give more groups or another salt." for split in SPLITS if not splits[split]["images"]
    ]
    purpose = {
        "val_calib": "no exit threshold can promise it",
        "val_test": "the gate will refuse every model",
    }
    total = sum(counts["positives"] for counts in splits.values())
    for split, consequence in purpose.items():
        positives = splits[split]["positives"]
        if positives < needed:
            warnings.append(
                f"{split} has {positives:,} positives; FNR <= {config.max_fnr:g} at confidence {config.confidence:g} "
                f"needs at least {needed:,} answered ones without a miss, so {consequence}. Add positives (there are "
                f"{total:,} in all), give {split} a larger fraction, or ask for a larger max_fnr."
            )
    return warnings


def _unbalanced(splits: dict[str, dict[str, int]]) -> list[str]:
    """Say where a split's share of positives is off by a fifth of the rarer class, as groups make it by chance."""
    images = sum(counts["images"] for counts in splits.values())
    overall = sum(counts["positives"] for counts in splits.values()) / images
    warnings = []
    for split, counts in splits.items():
        if not counts["images"]:
            continue
        share = counts["positives"] / counts["images"]
        if abs(share - overall) > _BALANCE_TOLERANCE * min(overall, 1 - overall):
            warnings.append(
                f"{split} has {share:.1%} positives, the whole {overall:.1%}: its {counts['groups']:,} groups are few "
                "or differ much. Images are not moved to even this out; more and smaller groups would."
            )
    return warnings
