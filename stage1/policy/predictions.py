"""What policies read (predictions of a model) and what they return (decisions).

Legend: N images; the two columns of logits are class 0 (no road work) and class 1 (road work, the positive).
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadData

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Decisions:
    """One row per image.

    answered: True exits here, False defers to the next stage. label (int8): the answer; the best guess where deferred.
    probability: of class 1, in [0, 1]; NaN where the logits were not finite. set (N, 2): the prediction set; one class
    where answered, never exactly one where deferred.
    """

    answered: Bools
    label: NDArray[np.int8]
    probability: Floats
    set: Bools


@dataclass(frozen=True)
class Predictions:
    """A model's outputs beside the truth, checked once.

    Args:
        logits: (N, 2), finite; float32 stays float32, anything else becomes float64.
        labels: (N), 0 or 1.
        gate: Gate logit (N), finite, higher is surer; None when the model has no gate.
        groups: One label per image (drive, site); images of a group are not independent. None: they are.
        margin: d = z1 - z0 in float64, computed once: the log-odds of class 1, which do not saturate as softmax does.

    Raises:
        BadData: Naming the first bad row.
    """

    logits: ArrayLike
    labels: ArrayLike
    gate: ArrayLike | None = None
    groups: ArrayLike | None = None
    margin: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        logits = logit_pairs(self.logits)
        margins = margin(logits)
        finite: Bools = np.isfinite(margins)
        _refuse("logits", finite, logits, "two finite numbers")
        labels = np.asarray(self.labels)
        _aligned("labels", labels, len(logits))
        _refuse("labels", (labels == 0) | (labels == 1), labels, "0 or 1")
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "margin", margins)
        object.__setattr__(self, "labels", labels.astype(np.int8))
        if self.gate is not None:
            gate = _narrow_or_double(self.gate)
            _aligned("gate", gate, len(logits))
            _refuse("gate", np.isfinite(gate), gate, "a finite number")
            object.__setattr__(self, "gate", gate)
        if self.groups is not None:
            _aligned("groups", np.asarray(self.groups), len(logits))
            object.__setattr__(self, "groups", _codes(np.asarray(self.groups)))

    def __len__(self) -> int:
        return len(self.margin)

    @property
    def positive(self) -> Bools:
        """Where the label is 1."""
        truth: Bools = np.asarray(self.labels) == 1
        return truth

    @property
    def errors(self) -> Bools:
        """Where the more probable class is wrong: what AUGRC asks a confidence to rank (d >= 0 counts as class 1)."""
        wrong: Bools = (self.margin >= 0) != self.positive
        return wrong

    @cached_property
    def positives_in_order(self) -> NDArray[np.int64]:
        """Row numbers of the positives by ascending margin; sorted once for every rule that is tried."""
        return self._in_order(self.positive)

    @cached_property
    def negatives_in_order(self) -> NDArray[np.int64]:
        """Row numbers of the negatives by ascending margin."""
        return self._in_order(~self.positive)

    def _in_order(self, chosen_N: Bools) -> NDArray[np.int64]:
        rows = np.flatnonzero(chosen_N)
        d, groups = self.margin[rows], self.group_codes(rows)
        # Ties by group, so that equal data in another order of rows give equal counts in between.
        return rows[np.argsort(d) if groups is None else np.lexsort((groups, d))]

    def group_codes(self, rows: Bools | NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the group numbers of some rows, or None when images are independent."""
        return None if self.groups is None else np.asarray(self.groups)[rows]

    def gate_scores(self) -> Floats:
        """Return the gate logits; BadData when there are none."""
        if self.gate is None:
            raise BadData("This policy reads the gate, and these predictions have none. Give gate, or use 'softmax'.")
        return np.asarray(self.gate, dtype=np.float64)


def logit_pairs(logits: ArrayLike) -> NDArray[np.float32] | Floats:
    """Return logits (N, 2) as they are in float32, as float64 otherwise."""
    array = _narrow_or_double(logits)
    if array.ndim != 2 or array.shape[1] != 2:
        raise BadData(f"logits need shape (N, 2), got {array.shape}.")
    return array


def margin(logits: ArrayLike) -> Floats:
    """Return z1 - z0 in float64; NaN where that is not finite, so that no comparison holds there."""
    pairs = logit_pairs(logits)
    with np.errstate(invalid="ignore", over="ignore"):
        result = np.subtract(pairs[:, 1], pairs[:, 0], dtype=np.float64)
    finite = np.isfinite(result)
    if not finite.all():
        result[~finite] = np.nan
    return result


def _narrow_or_double(values: ArrayLike) -> NDArray[np.float32] | Floats:
    array = np.asarray(values)
    return array if array.dtype == np.float32 else np.asarray(array, dtype=np.float64)


def _codes(groups_N: NDArray[np.generic]) -> NDArray[np.int64] | None:
    """Return the groups numbered from 0 in their sorted order, or None when each image is a group of its own."""
    names, codes = np.unique(groups_N, return_inverse=True)
    return codes if len(names) < len(codes) else None


def _aligned(name: str, array: NDArray[np.generic], num_images: int) -> None:
    if array.shape != (num_images,):
        raise BadData(f"{name} needs one entry for each of {num_images:,} images, got shape {array.shape}.")


def _refuse(name: str, good_N: Bools, values: NDArray[np.generic], needed: str) -> None:
    if not good_N.all():
        row = int(np.argmin(good_N))
        raise BadData(f"{name} needs {needed} in every row; row {row} of {len(good_N):,} holds {values[row]}.")
