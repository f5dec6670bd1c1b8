"""The split report: what went where, what was left out, and what the test split will be able to certify.

It is printed before any GPU time is spent, so that a data set too small for its promise is found here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stage1.conformal import certifiable_misses, positives_needed, upper_bound
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
    num_copies: int,
    near: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of split.json.

    Args:
        data: Location of the data set as the user gave it.
        manifest: The finished manifest.
        config: For max_fnr and confidence.
        skipped: (path, reason) of everything that was listed and not used; used and skipped make what was listed.
        groups_merged: How many groups were joined into others because they share an image.
        num_copies: Images whose bytes an earlier row has.
        near: What near_report counted; None where nobody looked.
    """
    table = manifest.table
    splits = _by_split(table, config.confidence)
    needed_no_miss = positives_needed(config.max_fnr, 0, config.confidence)
    return {
        "schema": "stage1/split/v1",
        "data": data,
        "data_digest": manifest.data_digest,
        "salt": manifest.salt,
        "fractions": dict(manifest.fractions),
        "num_images": sum(counts["images"] for counts in splits.values()),
        "num_unlabeled": sum(counts["unlabeled"] for counts in splits.values()),
        "num_synthetic": sum(counts["synthetic"] for counts in splits.values()),
        "num_groups": sum(counts["groups"] for counts in splits.values()),
        "splits": splits,
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped[:_NUM_SKIPPED_SHOWN]],
        "skipped_by_reason": dict(sorted(Counter(reason for _, reason in skipped).items())),
        "duplicates": {
            "images": num_copies,
            "groups_merged": groups_merged,
        },
        "near_duplicates": {"mode": config.near_duplicates, "distance": config.near_distance, **(near or {})},
        "certification": {
            "max_fnr": config.max_fnr,
            "confidence": config.confidence,
            "test_positives": splits["val_test"]["positives"],
            "needed_no_miss": needed_no_miss,
            "certifiable_misses": certifiable_misses(
                splits["val_test"]["positives"], config.max_fnr, config.confidence
            ),
            "rows": [
                {"misses": misses, "needed": positives_needed(config.max_fnr, misses, config.confidence)}
                for misses in range(_NUM_MISSES_SHOWN)
            ],
        },
        "warnings": _too_few(splits, needed_no_miss, config) + _unbalanced(splits) + _leaking(near or {}),
    }


def _by_split(table: pa.Table, confidence: float) -> dict[str, dict[str, Any]]:
    """Count images with labels, positives, groups, unlabeled and synthetic images of each split."""
    encoded = pc.dictionary_encode(table["group"].combine_chunks())
    group_N = encoded.indices.to_numpy()
    split_N = pc.index_in(table["split"].combine_chunks(), value_set=pa.array(SPLITS)).to_numpy()
    label_N, synthetic_N = table["label"].to_numpy(), table["synthetic"].to_numpy()
    found = {}
    for number, split in enumerate(SPLITS):
        here = split_N == number
        labelled = here & (label_N >= 0)
        positive = label_N[labelled] == 1
        found[split] = {
            "images": len(positive),
            "positives": int(positive.sum()),
            "positive_share": _share(positive, group_N[labelled], confidence),
            "groups": len(np.unique(group_N[here])),
            "unlabeled": int(here.sum()) - len(positive),
            "synthetic": int(synthetic_N[here].sum()),
        }
    return found


def _share(positive: NDArray[np.bool_], group: NDArray[np.int32], confidence: float) -> dict[str, float] | None:
    """Return the share of positives with its two-sided interval, wider where images come in groups.

    None without images. Clopper and Pearson's, or Korn and Graubard's where that is wider (stage1.conformal.clusters).
    """
    if not len(positive):
        return None
    one_sided = (1 + confidence) / 2
    return {
        "value": float(positive.mean()),
        "low": 1 - upper_bound(~positive, group, one_sided).upper,
        "high": upper_bound(positive, group, one_sided).upper,
    }


def _too_few(splits: dict[str, dict[str, Any]], needed: int, config: SplitConfig) -> list[str]:
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


def _unbalanced(splits: dict[str, dict[str, Any]]) -> list[str]:
    """Say where a split's share of positives is off by a fifth of the rarer class, as groups make it by chance."""
    images = sum(counts["images"] for counts in splits.values())
    overall = sum(counts["positives"] for counts in splits.values()) / images
    warnings = []
    for split, counts in splits.items():
        if not counts["images"]:
            continue
        share, interval = counts["positives"] / counts["images"], counts["positive_share"]
        if abs(share - overall) > _BALANCE_TOLERANCE * min(overall, 1 - overall):
            warnings.append(
                f"{split} has {share:.1%} positives ({interval['low']:.1%} to {interval['high']:.1%}), the whole "
                f"{overall:.1%}: its {counts['groups']:,} groups are few or differ much. Images are not moved to even "
                "this out; more and smaller groups would."
            )
    return warnings


def _leaking(near: Mapping[str, Any]) -> list[str]:
    """Say how many pictures of one split look like one of another, and how many look alike and are labelled apart."""
    warnings = []
    across = {name: pairs for name, pairs in near.get("across_splits", {}).items() if pairs}
    if across:
        listed = ", ".join(f"{name.replace('-', ' and ')} {pairs:,}" for name, pairs in across.items())
        warnings.append(
            f"{sum(across.values()):,} near-duplicate pairs stand in two splits ({listed}). Give them one group, or "
            "set near_duplicates=merge."
        )
    if near.get("label_conflicts"):
        warnings.append(
            f"{near['label_conflicts']:,} pairs of images of different groups look the same and have different labels: "
            "one of the two labels may be wrong."
        )
    return warnings
