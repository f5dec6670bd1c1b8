"""How every metric reads its arguments: one-dimensional, finite, of equal length, never empty.

Shape suffixes: N images, K classes, R resamples, B resamples of one block.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadData

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def vector(name: str, values: ArrayLike) -> Floats:
    """Return `values` as a finite float64 vector; refuse anything else by the first bad row."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise BadData(f"{name} needs one number per image, got an array of shape {array.shape}.")
    if array.size == 0:
        raise BadData(f"{name} is empty; at least one image is needed.")
    result = array.astype(np.float64)
    refuse_rows(name, ~np.isfinite(result), array, "a finite number")
    return result


def binary(name: str, values: ArrayLike) -> Bools:
    """Return 0/1 (or boolean) `values` as booleans."""
    numbers = vector(name, values)
    refuse_rows(name, (numbers != 0) & (numbers != 1), numbers, "0 or 1")
    truth: Bools = numbers == 1
    return truth


def same_length(**arrays: NDArray[Any]) -> int:
    """Return the length that all arrays share."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise BadData(f"Arrays must have one row per image each, got {lengths}.")
    return next(iter(lengths.values()))


def refuse_rows(name: str, bad_N: Bools, values: NDArray[Any], needed: str) -> None:
    """Raise BadData for the first bad row, if there is one."""
    if bad_N.any():
        row = int(np.argmax(bad_N))
        raise BadData(f"{name} needs {needed} in every row; row {row} of {len(bad_N):,} holds {values[row]}.")


def scored(
    score_N: ArrayLike, truth_N: ArrayLike, score: str = "confidence", truth: str = "error"
) -> tuple[Floats, Bools]:
    """Return a score and a 0/1 array of one length, both checked, called `score` and `truth` in messages."""
    scores, truths = vector(score, score_N), binary(truth, truth_N)
    same_length(**{score: scores, truth: truths})
    return scores, truths


def predicted(prediction_N: ArrayLike, label_N: ArrayLike) -> tuple[Bools, Bools]:
    """Return 0/1 predictions and labels of one length, both checked."""
    prediction, label = binary("prediction", prediction_N), binary("label", label_N)
    same_length(prediction=prediction, label=label)
    return prediction, label


def group_codes(groups_N: ArrayLike | None, num_images: int) -> tuple[Integers, int]:
    """Return (code of each image's group, number of groups); without groups every image is its own."""
    if groups_N is None:
        return np.arange(num_images), num_images
    groups = np.asarray(groups_N)
    if groups.shape != (num_images,):
        raise BadData(f"groups needs one label for each of {num_images:,} images, got shape {groups.shape}.")
    names, codes = np.unique(groups, return_inverse=True)
    return codes.astype(np.int64), len(names)


def quotient(top_B: Floats, bottom_B: Floats) -> Floats:
    """Divide, with NaN where the denominator is 0."""
    result: Floats = np.divide(top_B, bottom_B, out=np.full(len(bottom_B), np.nan), where=bottom_B != 0)
    return result
