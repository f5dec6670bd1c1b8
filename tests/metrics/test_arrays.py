"""What is wrong with an array is said by the argument's own name, by every door."""

import re

import numpy as np
import pytest

from stage1.errors import BadData
from stage1.metrics import (
    accuracy,
    auroc,
    brier,
    eaurc,
    failure_auroc,
    jackknife_augrc,
    jackknife_auroc,
    mcc,
    nll,
    weighted_auroc,
    weighted_eaurc,
    weighted_generalized_risk,
    weighted_mcc,
    weighted_mean,
    weighted_ratio,
)
from stage1.metrics.arrays import group_codes, quotient, same_length, scored, vector
from stage1.metrics.pairs import jackknife_failure_auroc

NAN, TWO = [0.5, np.nan], [0, 2]


def finite(name):
    return f"{name} needs a finite number in every row; row 1 of 2 holds nan."


def zero_or_one(name):
    return f"{name} needs 0 or 1 in every row; row 1 of 2 holds 2.0."


def lengths(**counts):
    return f"Arrays must have one row per image each, got {counts}."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy(TWO, [0, 1]), zero_or_one("prediction")),
        (lambda: mcc([0, 1], TWO), zero_or_one("label")),
        (lambda: weighted_mcc([0, 1], TWO), zero_or_one("label")),
        (lambda: accuracy(NAN, [0, 1]), finite("prediction")),
        (lambda: accuracy([0, 1], NAN), finite("label")),
        (lambda: accuracy([0, 1], [0]), lengths(prediction=2, label=1)),
        (lambda: auroc(NAN, [0, 1]), finite("score")),
        (lambda: auroc([0, 1], TWO), zero_or_one("label")),
        (lambda: auroc([0, 1], [1]), lengths(score=2, label=1)),
        (lambda: weighted_auroc(NAN, [0, 1]), finite("score")),
        (lambda: weighted_auroc([0, 1], TWO), zero_or_one("label")),
        (lambda: jackknife_auroc(NAN, [0, 1]), finite("score")),
        (lambda: jackknife_auroc([0, 1], TWO), zero_or_one("label")),
        (lambda: jackknife_augrc(NAN, [0, 1]), finite("confidence")),
        (lambda: jackknife_augrc([0, 1], TWO), zero_or_one("error")),
        (lambda: failure_auroc([0, 1], TWO), zero_or_one("error")),
        (lambda: jackknife_failure_auroc([0, 1], TWO), zero_or_one("error")),
        (lambda: eaurc([0, 1], TWO), zero_or_one("error")),
        (lambda: weighted_eaurc([0, 1], TWO), zero_or_one("error")),
        (lambda: weighted_ratio(NAN, [1, 1]), finite("numerator")),
        (lambda: weighted_ratio([1, 1], NAN), finite("denominator")),
        (lambda: weighted_ratio([1, 1], [1]), lengths(numerator=2, denominator=1)),
        (lambda: weighted_mean(NAN), finite("numerator")),
        (lambda: weighted_generalized_risk([0, 1], [0, 1], NAN), finite("coverage")),
        (lambda: nll(NAN, [0, 1]), finite("probability")),
        (lambda: nll([0.5, 0.5], TWO), zero_or_one("label")),
        (lambda: nll([0.5, 0.5], [1]), lengths(probability=2, label=1)),
        (lambda: brier([[0.5, 0.5]] * 2, NAN), finite("label")),
        (
            lambda: brier([[0.5, 0.5]] * 2, [0, -1]),
            "label needs a class below 2 in every row; row 1 of 2 holds -1.",
        ),
        (
            lambda: brier([[0.5, 0.5], [0.5, 0.25]], [0, 1]),
            "probability needs a sum of 1 in every row; row 1 of 2 holds 0.75.",
        ),
        (
            lambda: brier([0.5, 1.5], [0, 1]),
            "probability needs numbers in [0, 1] in every row; row 1 of 2 holds 1.5.",
        ),
        (
            lambda: brier([[-0.5, 1.5]], [1]),
            "probability needs numbers in [0, 1] in every row; row 0 of 1 holds [-0.5  1.5].",
        ),
        (lambda: brier([[1.0]], [0]), "probability needs shape (N,) or (N, K) with K >= 2, got (1, 1)."),
        (lambda: brier([[[0.5, 0.5]]], [0]), "probability needs shape (N,) or (N, K) with K >= 2, got (1, 1, 2)."),
        (lambda: brier(0.5, [0]), "probability needs shape (N,) or (N, K) with K >= 2, got ()."),
        (lambda: vector("margin", [[1.0]]), "margin needs one number per image, got an array of shape (1, 1)."),
        (lambda: vector("margin", []), "margin is empty; at least one image is needed."),
        (
            lambda: vector("margin", np.append(np.zeros(1234), np.inf)),
            "margin needs a finite number in every row; row 1234 of 1,235 holds inf.",
        ),
        (lambda: scored(NAN, [0, 1]), finite("confidence")),
        (lambda: scored([0, 1], TWO), zero_or_one("error")),
        (lambda: scored([0, 1], [0], "margin", "miss"), lengths(margin=2, miss=1)),
        (
            lambda: group_codes([["a"], ["b"]], 2000),
            "groups needs one label for each of 2,000 images, got shape (2, 1).",
        ),
    ],
)
def test_the_message_names_the_argument_and_the_row(call, message):
    with pytest.raises(BadData, match=f"^{re.escape(message)}$"):
        call()


def test_integers_and_booleans_become_numbers():
    assert vector("margin", [True, False]).dtype == vector("margin", [3]).dtype == np.float64
    score, truth = scored([1, 2], [0.0, 1.0])
    assert score.dtype == np.float64
    assert truth.tolist() == [False, True]


def test_lengths_that_agree_are_returned():
    assert same_length(a=np.zeros(3), b=np.zeros((3, 2))) == 3


def test_groups_are_numbered_in_their_order():
    codes, count = group_codes(["b", "a", "b"], 3)
    assert (codes.tolist(), count) == ([1, 0, 1], 2)
    codes, count = group_codes(None, 3)
    assert (codes.tolist(), count) == ([0, 1, 2], 3)


def test_nothing_over_nothing_does_not_exist():
    found = quotient(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 4.0]))
    assert found == pytest.approx([np.nan, np.nan, 0.25], nan_ok=True)
