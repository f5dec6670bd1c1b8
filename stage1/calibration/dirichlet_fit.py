"""The Dirichlet fit at K >= 3 (L-BFGS with an analytic gradient), and cross-validated penalties for any K."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from stage1.calibration.activations import Floats, Integers, class_labels, log_softmax, logit_rows, margins
from stage1.calibration.dirichlet import Dirichlet
from stage1.calibration.rows import Rows, binned
from stage1.calibration.two_class import two_class_loss
from stage1.errors import BadConfig, TooFewSamples

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
BINS = 1 << 14
BINNED_FROM = 100_000  # images; below, cross-validation reads every image as it is


@dataclass(frozen=True)
class Minimum:
    """Where the optimiser stopped."""

    weight: Floats
    intercept: Floats
    converged: bool


def minimise(log_p_NK: Floats, targets_NK: Floats, off_diagonal: float, intercept_penalty: float) -> Minimum:
    """Minimise mean cross-entropy + ODIR penalty from the identity."""
    num_classes = log_p_NK.shape[1]
    off = ~np.eye(num_classes, dtype=bool)

    def objective(theta: Floats) -> tuple[float, Floats]:
        weight, intercept = theta[:-num_classes].reshape(num_classes, num_classes), theta[-num_classes:]
        log_q = log_softmax(log_p_NK @ weight.T + intercept)
        loss = -float((targets_NK * log_q).sum()) / len(log_q)
        loss += off_diagonal * float((weight[off] ** 2).sum()) + intercept_penalty * float((intercept**2).sum())
        residual = (np.exp(log_q) - targets_NK) / len(log_q)
        slope = residual.T @ log_p_NK
        slope[off] += 2 * off_diagonal * weight[off]
        return loss, np.concatenate([slope.ravel(), residual.sum(axis=0) + 2 * intercept_penalty * intercept])

    start = np.concatenate([np.eye(num_classes).ravel(), np.zeros(num_classes)])
    options = {"maxiter": 2000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    weight = found.x[:-num_classes].reshape(num_classes, num_classes)
    return Minimum(weight, found.x[-num_classes:], bool(np.abs(found.jac).max() < 1e-4))


def choose_penalty(
    logits_NK: ArrayLike,
    label_N: ArrayLike,
    *,
    groups_N: ArrayLike | None = None,
    penalties: Sequence[float] = PENALTIES,
    num_folds: int = 5,
    seed: int = 0,
) -> Dirichlet:
    """Return a Dirichlet map fitted with the penalty (lambda = mu) that has the lowest cross-validated NLL.

    Folds are drawn inside the given data, by whole groups where these are given; ties go to the stronger penalty. From
    100,000 images of two classes on, the folds are compared on images merged into narrow bins of the margin, which
    changes a held-out NLL by less than 1e-6; the map itself is fitted to every image.

    Args:
        logits_NK: Calibration logits.
        label_N: Their classes; each class needs at least 2 images, or TooFewSamples is raised.
        groups_N: One label per image, or None.
        penalties: Candidates, each >= 0. At K = 2 lambda is inert (see `two_class`) and they are candidates for mu.
        num_folds: At least 2; fewer are used where there are fewer groups.
        seed: Of the folds.
    """
    if num_folds < 2 or not penalties or min(penalties) < 0:
        raise BadConfig(
            f"Cross-validation needs 2 folds or more and penalties >= 0, got {num_folds} folds and {list(penalties)}."
        )
    two = np.ndim(logits_NK) == 2 and np.shape(logits_NK)[1] == 2
    logits = np.asarray(logits_NK) if two else logit_rows(logits_NK)
    margin = margins(logits) if two else None
    label = class_labels(label_N, *logits.shape)
    fewest = int(np.bincount(label, minlength=logits.shape[1]).min())
    if fewest < 2:
        raise TooFewSamples(f"Dirichlet calibration needs at least 2 images of each class, got {fewest}.")
    best = max(penalties)
    if len(penalties) > 1:
        fold_N = folds(label, groups_N, num_folds, seed)
        held_out = (
            _held_out_images(logits, label, fold_N)
            if margin is None
            else _held_out_rows(Rows.of(margin, label), fold_N, num_folds)
        )
        strongest_first = sorted(penalties, reverse=True)
        best = strongest_first[int(np.argmin([held_out(penalty) for penalty in strongest_first]))]
    chosen = Dirichlet(off_diagonal=best, intercept_penalty=best)
    return chosen.fit(logits, label) if margin is None else chosen.fit_rows(Rows.of(margin, label))


def folds(label_N: Integers, groups_N: ArrayLike | None, num_folds: int, seed: int) -> Integers:
    """Deal units (groups, or images class by class) to folds 0..num_folds - 1 in random order."""
    rng = np.random.default_rng(seed)
    if groups_N is not None:
        names, codes = np.unique(np.asarray(groups_N), return_inverse=True)
        if len(names) >= 2:
            dealt: Integers = (rng.permutation(len(names)) % num_folds).astype(np.int32)[codes]
            return dealt
    fold_N = np.empty(len(label_N), dtype=np.int32)
    first = 0
    for label in np.unique(label_N):
        chosen = label_N == label
        size = int(np.count_nonzero(chosen))
        fold_N[chosen] = rng.permutation((np.arange(first, first + size) % num_folds).astype(np.int32))
        first += size
    return fold_N


def _held_out_images(logits_NK: Floats, label_N: Integers, fold_N: Integers) -> Callable[[float], float]:
    """Return a function from a penalty to the held-out NLL per image."""

    def held_out(penalty: float) -> float:
        total = 0.0
        for fold in np.unique(fold_N):
            held = fold_N == fold
            fitted = Dirichlet(off_diagonal=penalty, intercept_penalty=penalty).fit(logits_NK[~held], label_N[~held])
            log_q = log_softmax(fitted.log_scores(logits_NK[held]))
            total -= float(log_q[np.arange(len(log_q)), label_N[held]].sum())
        return total / len(label_N)

    return held_out


def _held_out_rows(rows: Rows, fold_N: Integers, num_folds: int) -> Callable[[float], float]:
    """Return a function from a penalty to the held-out NLL per image, for two classes."""
    if len(rows) >= BINNED_FROM:
        rows, fold_N = binned(rows, fold_N, num_folds, BINS)
    parts = [(rows.take(fold_N != fold), rows.take(fold_N == fold)) for fold in np.unique(fold_N)]
    images = rows.num_negatives + rows.num_positives

    def held_out(penalty: float) -> float:
        total = 0.0
        for training, held in parts:
            fitted = Dirichlet(off_diagonal=penalty, intercept_penalty=penalty).fit_rows(training)
            total += two_class_loss(held, np.array(fitted.slopes))
        return total / images

    return held_out
