"""The reference values in ../shared/reference, where that folder is: other implementations on real predictions."""

import json
from pathlib import Path

import numpy as np
import pytest

from stage1.metrics import augrc, aurc, auroc, brier, eaurc, ece, failure_auroc, nll

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/reference is not here"),
]


def load(name):
    expected = json.loads((FOLDER / "values.json").read_text())[name]
    return expected, np.load(FOLDER / f"{name}.npz")


def test_ten_classes():
    expected, arrays = load("lenet-5-cifar-10")
    raw, labels = arrays["predictions"].astype(float), arrays["ground_truth"]
    rows = raw / raw.sum(axis=1, keepdims=True)
    error = rows.argmax(axis=1) != labels
    confidence = rows.max(axis=1)
    assert nll(rows, labels) == pytest.approx(expected["nll"], abs=1e-12)
    # The references below used the float32 rows as they are, which sum to 1 within 2e-7.
    assert brier(rows, labels) == pytest.approx(expected["brier_sum"], abs=1e-7)
    assert ece(rows, labels) == pytest.approx(expected["ece15_equal_width_textbook"], abs=1e-7)
    assert ece(rows, labels, bins="mass") == pytest.approx(
        expected["ece15_equal_mass_uncertainty_calibration"], abs=1e-7
    )
    assert aurc(confidence, error) == pytest.approx(expected["aurc_fdshifts"], abs=1e-15)
    assert eaurc(confidence, error) == pytest.approx(expected["eaurc_fdshifts"], abs=1e-7)
    assert augrc(confidence, error) == pytest.approx(expected["augrc_fdshifts"], abs=1e-15)
    assert failure_auroc(confidence, error) == pytest.approx(expected["failure_auroc"], abs=1e-7)


def test_two_classes():
    expected, arrays = load("binary_lenet_truck_vs_rest")
    probability, labels = arrays["p"], arrays["y"]
    error = (probability >= 0.5) != labels
    confidence = np.maximum(probability, 1 - probability)
    assert 1 - error.mean() == pytest.approx(expected["acc"], abs=1e-15)
    assert auroc(probability, labels) == pytest.approx(expected["auroc"], abs=1e-15)
    assert nll(probability, labels) == pytest.approx(expected["nll"], abs=1e-12)
    assert brier(probability, labels) == pytest.approx(expected["brier"], abs=1e-14)
    assert ece(probability, labels, kind="positive") == pytest.approx(expected["ece15_posprob"], abs=1e-12)
    assert ece(probability, labels, kind="top_label") == pytest.approx(expected["ece15_toplabel"], abs=1e-12)
    assert aurc(confidence, error) == pytest.approx(expected["aurc"], abs=1e-15)
    assert eaurc(confidence, error) == pytest.approx(expected["eaurc"], abs=1e-15)
    assert augrc(confidence, error) == pytest.approx(expected["augrc"], abs=1e-15)
