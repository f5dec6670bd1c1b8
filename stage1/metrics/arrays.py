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
