"""Divide a data set into train, val_select, val_calib and val_test, and say what val_test will be able to certify."""

import json
from dataclasses import dataclass
from pathlib import Path

from stage1 import events
from stage1.data import SplitConfig, make_split
from stage1.steps.step import StepResult, step


@dataclass(frozen=True)
class Split(StepResult):
    """Sizes of the splits and the digest of the data."""

    data_digest: str
    num_images: int
    num_positives: int
    num_groups: int
    num_skipped: int
    num_unlabeled: int
    num_synthetic: int
    near_duplicate_pairs: int
    train_images: int
    val_test_images: int
    val_test_positives: int


@step(reuse=False)
def split(data: str, out: Path, *, config: SplitConfig = SplitConfig()) -> Split:
    """Read every image once, assign whole groups to splits by a salted hash, and write the manifest.

    Args:
        data: Labelled images, local or on s3://: a folder with one sub-folder per class, a .csv or .parquet sheet with
            path, label and optional group, parquet files with the images' bytes, COCO .json, or a YOLO folder.
        out: Receives manifest.parquet and split.json.
        config: Columns, positive class, further sources, salt, fractions, near-duplicates, budget of bad images.

    Raises:
        BadData: The data set cannot be used; says what came and what to do.
    """
    manifest, report = make_split(data, config)
    manifest.write(out / "manifest.parquet")
    text = json.dumps(report, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    (out / "split.json").write_text(text, encoding="utf-8")
    read = json.loads(text)
    for warning in read["warnings"]:
        events.note(warning)
    splits = read["splits"]
    return Split(
        data_digest=manifest.data_digest,
        num_images=read["num_images"],
        num_positives=sum(part["positives"] for part in splits.values()),
        num_groups=read["num_groups"],
        num_skipped=sum(read["skipped_by_reason"].values()),
        num_unlabeled=read["num_unlabeled"],
        num_synthetic=read["num_synthetic"],
        near_duplicate_pairs=read["near_duplicates"].get("pairs", 0),
        train_images=splits["train"]["images"],
        val_test_images=splits["val_test"]["images"],
        val_test_positives=splits["val_test"]["positives"],
    )
