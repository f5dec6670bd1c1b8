"""Predictions are checked once and by the row; margins never saturate and never lie."""

import numpy as np
import pytest

from stage1.errors import BadData
from stage1.policy import Predictions
from stage1.policy.predictions import margin


def test_margins_and_errors():
    rows = Predictions([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]], [0, 0, 1])
    assert rows.margin.tolist() == [2, -1, 0]
    assert rows.errors.tolist() == [True, False, False]
    assert rows.positive.tolist() == [False, False, True]
    assert len(rows) == 3


def test_margins_do_not_saturate_where_softmax_does():
    assert margin(np.array([[0, 40.0], [0, 41.0]])).tolist() == [40, 41]


def test_margins_of_bad_rows_are_nan():
    found = margin([[np.nan, 0.0], [0.0, np.inf], [-np.inf, np.inf], [np.inf, np.inf], [1.0, 2.0]])
    assert np.isnan(found).tolist() == [True, True, True, True, False]


def test_float32_logits_keep_their_exact_difference():
    logits = np.array([[0.1, 1.1]], dtype=np.float32)
    assert margin(logits)[0] == float(logits[0, 1]) - float(logits[0, 0])


def test_groups_of_one_image_are_no_groups():
    logits = np.zeros((3, 2))
    assert Predictions(logits, [0, 1, 0], groups=["a", "b", "c"]).groups is None
    assert Predictions(logits, [0, 1, 0], groups=["a", "b", "a"]).group_codes(np.array([0, 2])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": [[0.0, 1.0], [np.nan, 0.0]], "labels": [0, 1]}, "logits needs two finite numbers .* row 1 of 2"),
        ({"logits": [[0.0, np.inf]], "labels": [0]}, "row 0 of 1"),
        ({"logits": [0.0], "labels": [0]}, r"shape \(N, 2\), got \(1,\)"),
        ({"logits": [[0.0, 1.0]], "labels": [2]}, "labels needs 0 or 1 in every row; row 0 of 1 holds 2"),
        ({"logits": [[0.0, 1.0]], "labels": [0, 1]}, r"labels needs one entry for each of 1 images, got shape \(2,\)"),
        ({"logits": [[0.0, 1.0]], "labels": [0], "gate": [np.nan]}, "gate needs a finite number"),
        ({"logits": [[0.0, 1.0]], "labels": [0], "gate": [[1.0]]}, "gate needs one entry"),
        ({"logits": [[0.0, 1.0]], "labels": [0], "groups": ["a", "b"]}, "groups needs one entry"),
    ],
)
def test_bad_predictions_name_the_row(arguments, message):
    with pytest.raises(BadData, match=message):
        Predictions(**arguments)


def test_a_missing_gate_is_said_when_it_is_needed():
    with pytest.raises(BadData, match="reads the gate"):
        Predictions([[0.0, 1.0]], [1]).gate_scores()
