"""reference.json: how the answers were spread over val_test; made by export, read from verified bytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stage1.bundle import BundleRejected
from stage1.bundle.reference import REFERENCE, Reference
from stage1.errors import BadInput
from tests.bundle.making import Maker, policy

MARGINS = np.array([-3.0, -2.0, -0.5, 0.0, 0.5, 2.0, 3.0, 4.0])
GOOD: dict[str, Any] = {
    "schema": "stage1/reference/v1",
    "outcomes": {"exit_negative": 2, "exit_positive": 3, "defer": 3},
    "probability": {"edges": [0.25, 0.5], "counts": [4, 2, 2]},
}


def of(margins: np.ndarray) -> Reference:
    return Reference.of(policy(), np.column_stack([np.zeros(len(margins)), margins]), np.zeros(len(margins)))


def test_outcomes_are_counted_by_the_policy() -> None:
    """Nothing below -1, roadwork from 1 on, deferred between."""
    reference = of(MARGINS)
    assert reference.outcomes == {"exit_negative": 2, "exit_positive": 3, "defer": 3}
    assert (reference.num_images, reference.deferral_rate) == (8, 3 / 8)


def test_bins_are_tenths() -> None:
    margins = np.linspace(-4, 4, 1000)
    reference = of(margins)
    assert reference.counts == (100,) * 10
    assert np.bincount(reference.bins_N(1 / (1 + np.exp(-margins)))).tolist() == [100] * 10


def test_equal_scores_make_fewer_bins_and_lose_no_image() -> None:
    reference = of(np.array([2.0] * 50 + [3.0] * 50))
    assert sum(reference.counts) == 100
    assert len(reference.counts) == len(reference.edges) + 1 < 10


@pytest.mark.parametrize("margins", [np.array([]), np.array([1.0, np.nan])])
def test_no_image_and_no_number_are_refused(margins: np.ndarray) -> None:
    with pytest.raises(BadInput, match="finite"):
        of(margins)


def test_it_reads_back() -> None:
    reference = of(MARGINS)
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "stage1/reference/v2"},
        {"outcomes": {"exit_negative": 2, "exit_positive": 3}},
        {"outcomes": {"exit_negative": 2, "exit_positive": 3, "defer": 4}},
        {"probability": {"edges": [0.5, 0.25], "counts": [4, 2, 2]}},
        {"probability": {"edges": [0.5, 0.5], "counts": [4, 2, 2]}},
        {"probability": {"edges": [0.25, 0.5], "counts": [4, 4]}},
        {"probability": {"edges": [0.25, 1.5], "counts": [4, 2, 2]}},
        {"probability": {"edges": [0.25, 0.5], "counts": [4, -2, 6]}},
        {"probability": {"edges": [0.5], "counts": [0, 0]},
         "outcomes": {"exit_negative": 0, "exit_positive": 0, "defer": 0}},
        {"extra": 1},
    ],
)  # fmt: skip
def test_numbers_that_do_not_agree_are_rejected(changed: dict[str, Any]) -> None:
    assert Reference.from_json(GOOD).num_images == 8
    with pytest.raises(BundleRejected, match=r"reference\.json"):
        Reference.from_json({**GOOD, **changed})


def test_a_bundle_may_carry_one(make: Maker, tmp_path: Path) -> None:
    path = tmp_path / REFERENCE
    path.write_text(json.dumps(GOOD))
    assert make(files={REFERENCE: path}).reference == Reference.from_json(GOOD)
    assert make().reference is None


def test_a_bundle_with_a_wrong_one_is_rejected(make: Maker, tmp_path: Path) -> None:
    path = tmp_path / REFERENCE
    path.write_text(json.dumps({**GOOD, "extra": 1}))
    with pytest.raises(BundleRejected, match=r"reference\.json"):
        make(files={REFERENCE: path})
