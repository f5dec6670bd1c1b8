"""The shared functions by their definitions, and what the shared checks let through."""

import numpy as np
import pytest

from stage1.calibration.activations import class_labels, log_softmax, logit_rows, margins, sigmoid, softplus
from stage1.errors import BadData


def test_softplus_and_sigmoid_are_their_definitions():
    x = np.array([-800.0, -3.0, -0.5, 0.0, 0.5, 3.0, 800.0])
    assert softplus(x) == pytest.approx(np.logaddexp(0, x), rel=1e-14)
    assert sigmoid(x[1:-1]) == pytest.approx(1 / (1 + np.exp(-x[1:-1])), rel=1e-14)
    assert sigmoid(np.array([0.0, -800.0, 800.0])).tolist() == [0.5, 0.0, 1.0]


def test_each_row_of_log_softmax_is_shifted_by_its_own_maximum():
    rows = np.array([[2000.0, 2001.0], [-2000.0, -2001.0]])
    assert log_softmax(rows)[:, 0] == pytest.approx([-np.logaddexp(0, 1), -np.logaddexp(0, -1)])


def test_margins_are_differences_in_float64():
    narrow = np.array([[1e-8, 1.0], [3.0, 1.0]], dtype=np.float32)
    found = margins(narrow)
    assert found.dtype == np.float64
    assert found.tolist() == [1.0 - float(np.float32(1e-8)), -2.0]


@pytest.mark.parametrize("logits", [[1.0, 2.0], [[1.0, 2.0, 3.0]], np.zeros((0, 2)), np.zeros((2, 2, 2))])
def test_margins_need_pairs(logits):
    with pytest.raises(BadData, match=r"^logits need shape \(N, 2\)"):
        margins(logits)


def test_what_is_not_finite_is_named():
    with pytest.raises(BadData, match=r"^logits and their difference must be finite; row 0 of 1 is not"):
        margins([[np.inf, np.inf]])
    with pytest.raises(BadData, match=r"^logits must be finite; row 1 of 2 is not"):
        logit_rows([[1.0, 2.0], [np.nan, 0.0]])


def test_labels_are_classes_from_zero_on():
    assert class_labels([0, 1, 2], 3, 3).tolist() == [0, 1, 2]
    assert class_labels([200], 1, 201).tolist() == [200]
    assert class_labels([127], 1, 128).dtype == np.int8
    for bad in ([0, 3], [0, -1], [0.0, -1.0], [0.0, 3.0], [0.0, 0.5], [0.0, np.nan]):
        with pytest.raises(BadData, match="classes 0 to 2; row 1 holds"):
            class_labels(bad, 2, 3)
