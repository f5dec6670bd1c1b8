"""The optimisation behind Dirichlet calibration: L-BFGS with an analytic gradient, and cross-validated penalties."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from stage1.calibration.activations import Floats, Integers, class_labels, log_softmax, logit_rows
from stage1.calibration.dirichlet import Dirichlet
from stage1.errors import TooFewSamples

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Minimum:
    """Where the optimiser stopped."""

    weight: Floats
    intercept: Floats
    converged: bool
    bound_active: bool


def minimise(log_p_NK: Floats, targets_NK: Floats, off_diagonal: float, intercept_penalty: float) -> Minimum:
    """Minimise mean cross-entropy + ODIR penalty from the identity; at K = 2 under a >= 0 and c >= 0.

    The parameters at K = 2 are the columns' off-diagonal weights and the differences diagonal - off-diagonal, so that
    the monotone constraint is a bound.
    """
    num_classes = log_p_NK.shape[1]
    two = num_classes == 2
    off = ~np.eye(num_classes, dtype=bool)

    def unpack(theta: Floats) -> tuple[Floats, Floats]:
        weight = theta[:-num_classes].reshape(num_classes, num_classes).copy()
        if two:
            weight[0, 0] += weight[1, 0]
            weight[1, 1] += weight[0, 1]
        return weight, theta[-num_classes:]

    def objective(theta: Floats) -> tuple[float, Floats]:
        weight, intercept = unpack(theta)
        log_q = log_softmax(log_p_NK @ weight.T + intercept)
        loss = -float((targets_NK * log_q).sum()) / len(log_q)
        loss += off_diagonal * float((weight[off] ** 2).sum()) + intercept_penalty * float((intercept**2).sum())
        residual = (np.exp(log_q) - targets_NK) / len(log_q)
        slope = residual.T @ log_p_NK
        slope[off] += 2 * off_diagonal * weight[off]
        if two:
            slope[1, 0] += slope[0, 0]
            slope[0, 1] += slope[1, 1]
        return loss, np.concatenate([slope.ravel(), residual.sum(axis=0) + 2 * intercept_penalty * intercept])

    start = np.concatenate([np.eye(num_classes).ravel(), np.zeros(num_classes)])
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(start)
    if two:
        bounds[0] = bounds[3] = (0.0, None)
    options = {"maxiter": 2000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    weight, intercept = unpack(found.x)
    active = two and bool(min(found.x[0], found.x[3]) <= 0.0)
    return Minimum(weight, intercept, bool(np.abs(_projected(found, two)).max() < 1e-4), active)


def _projected(found: object, two: bool) -> Floats:
    """Return the gradient at the end, without what a bound holds back."""
    gradient = np.array(found.jac, dtype=np.float64)  # type: ignore[attr-defined]
    if two:
        held = np.zeros(len(gradient), dtype=bool)
        held[[0, 3]] = found.x[[0, 3]] <= 0.0  # type: ignore[attr-defined]
        gradient[held] = np.minimum(gradient[held], 0.0)
    return gradient


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

    Folds are drawn inside the given data, by whole groups where these are given; ties go to the stronger penalty.

    Args:
        logits_NK: Calibration logits.
        label_N: Their classes; each class needs at least 2 images, or TooFewSamples is raised.
        groups_N: One label per image, or None.
        penalties: Candidates, each >= 0.
        num_folds: At least 2; fewer are used where there are fewer groups.
        seed: Of the folds.
    """
    logits = logit_rows(logits_NK)
    label = class_labels(label_N, *logits.shape)
    fewest = int(np.bincount(label, minlength=logits.shape[1]).min())
    if fewest < 2:
        raise TooFewSamples(f"Dirichlet calibration needs at least 2 images of each class, got {fewest}.")
    strongest_first = sorted(penalties, reverse=True)
    if len(strongest_first) == 1:
        return Dirichlet(off_diagonal=strongest_first[0], intercept_penalty=strongest_first[0]).fit(logits, label)
    fold_N = _folds(label, groups_N, num_folds, seed)
    losses = [_cross_validated(logits, label, fold_N, penalty) for penalty in strongest_first]
    best = strongest_first[int(np.argmin(losses))]
    return Dirichlet(off_diagonal=best, intercept_penalty=best).fit(logits, label)


def _folds(label_N: Integers, groups_N: ArrayLike | None, num_folds: int, seed: int) -> Integers:
    """Deal units (groups, or images class by class) to folds in random order."""
    rng = np.random.default_rng(seed)
    if groups_N is not None:
        names, codes = np.unique(np.asarray(groups_N), return_inverse=True)
        if len(names) >= 2:
            return (rng.permutation(len(names)) % num_folds)[codes]
    order = rng.permutation(len(label_N))
    order = order[np.argsort(label_N[order], kind="stable")]
    fold_N = np.empty(len(label_N), dtype=np.int64)
    fold_N[order] = np.arange(len(label_N)) % num_folds
    return fold_N


def _cross_validated(logits_NK: Floats, label_N: Integers, fold_N: Integers, penalty: float) -> float:
    """Return the held-out NLL per image."""
    total = 0.0
    for fold in np.unique(fold_N):
        held = fold_N == fold
        fitted = Dirichlet(off_diagonal=penalty, intercept_penalty=penalty).fit(logits_NK[~held], label_N[~held])
        log_q = log_softmax(fitted.log_scores(logits_NK[held]))
        total -= float(log_q[np.arange(held.sum()), label_N[held]].sum())
    return total / len(label_N)
