"""Sigmoid and log-softmax without overflow, and the checks that every calibrator shares. numpy only.

Legend: N images, K classes.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadData

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), exact to rounding at both ends."""
    tail = np.exp(-np.abs(x))
    result: Floats = np.where(x >= 0, 1.0, tail) / (1.0 + tail)
    return result


def softplus(x: Floats) -> Floats:
    """Return ln(1 + exp(x)) without overflow."""
    result: Floats = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))
    return result


def log_softmax(logits_NK: Floats) -> Floats:
    """Return log-probabilities; invariant to a constant added to a row. NaN or +inf in a row makes it NaN."""
    with np.errstate(invalid="ignore"):  # inf - inf
        shifted = logits_NK - logits_NK.max(axis=1, keepdims=True)
        result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def scores(name: str, values: ArrayLike) -> Floats:
    """Return a finite float64 vector of at least one number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise BadData(f"{name} needs one number per image, got shape {array.shape}.")
    _finite(name, np.isfinite(array))
    return array


def logit_rows(values: ArrayLike) -> Floats:
    """Return finite float64 logits (N, K) with K >= 2; log-probabilities are logits too.

    A probability of exactly 0 has no finite logarithm: clip it first, or give the logits themselves.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2 or not array.shape[0]:
        raise BadData(f"logits need shape (N, K) with K >= 2 and N >= 1, got {array.shape}.")
    finite: NDArray[np.bool_] = np.all(np.isfinite(array), axis=1)
    _finite("logits", finite)
    return array


def margins(logits_N2: ArrayLike) -> Floats:
    """Return z1 - z0 (N) of two logits, in float64 and without a float64 copy of both; finite or refused."""
    array = np.asarray(logits_N2)
    if array.ndim != 2 or array.shape[1] != 2 or not array.shape[0]:
        raise BadData(f"logits need shape (N, 2) with N >= 1, got {array.shape}.")
    with np.errstate(invalid="ignore", over="ignore"):
        margin: Floats = np.subtract(array[:, 1], array[:, 0], dtype=np.float64)
    _finite("logits and their difference", np.isfinite(margin))
    return margin


def class_labels(values: ArrayLike, num_images: int, num_classes: int) -> Integers:
    """Return labels (N) in 0..K-1, one byte each where that is enough."""
    array = np.asarray(values)
    if array.shape != (num_images,):
        raise BadData(f"labels need one class for each of {num_images:,} images, got shape {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise BadData(f"labels need whole numbers, got {array.dtype}.")
    known = (array >= 0) & (array < num_classes)
    if array.dtype.kind == "f":
        known &= array == np.floor(array)
    if not known.all():
        row = int(np.argmin(known))
        raise BadData(f"labels need classes 0 to {num_classes - 1}; row {row} holds {array[row]}.")
    return array.astype(np.int8 if num_classes <= 128 else np.int64)


def smoothed_targets(labels_N: Integers, num_classes: int) -> Floats:
    """Return Platt's targets: (N_k + 1) / (N_k + K) for the labelled class, the rest shared by the others.

    They are what a uniform prior makes of N_k images of a class, and keep the fit of separable data finite.

    Reference: Platt 1999, section 2.2.
    """
    counts = np.bincount(labels_N, minlength=num_classes)[labels_N]
    targets = np.repeat((1.0 / (counts + num_classes))[:, None], num_classes, axis=1)
    targets[np.arange(len(labels_N)), labels_N] = (counts + 1.0) / (counts + num_classes)
    return targets


def one_hot(labels_N: Integers, num_classes: int) -> Floats:
    """Return 1 in the column of each label."""
    return np.eye(num_classes)[labels_N]


def _finite(name: str, good_N: NDArray[np.bool_]) -> None:
    if not good_N.all():
        raise BadData(f"{name} must be finite; row {int(np.argmin(good_N))} of {len(good_N):,} is not.")
