"""Sigmoid and log-softmax without overflow, and the checks that every calibrator shares. numpy only.

Legend: N images, K classes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadData

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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
    """Return log-probabilities; invariant to a constant added to a row."""
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
    """Return finite float64 logits (N, K) with K >= 2; log-probabilities are logits too."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2 or not array.shape[0]:
        raise BadData(f"logits need shape (N, K) with K >= 2 and N >= 1, got {array.shape}.")
    finite: NDArray[np.bool_] = np.all(np.isfinite(array), axis=1)
    _finite("logits", finite)
    return array


def class_labels(values: ArrayLike, num_images: int, num_classes: int) -> Integers:
    """Return labels (N) in 0..K-1."""
    array = np.asarray(values)
    if array.shape != (num_images,):
        raise BadData(f"labels need one class for each of {num_images:,} images, got shape {array.shape}.")
    known = np.isin(array, np.arange(num_classes))
    if not known.all():
        row = int(np.argmin(known))
        raise BadData(f"labels need classes 0 to {num_classes - 1}; row {row} holds {array[row]}.")
    return array.astype(np.int64)


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
