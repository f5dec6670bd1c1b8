"""`decide` at 10 million rows beside what memory alone would take, and beside a plain numpy decide of whole columns.

    python benchmarks/policy_decide.py [--quick]

Peers, on the same arrays and in the same run: a fresh copy of everything that decide reads and writes (20 to 36
bytes a row), `np.add(z0, z1)` of the logits, and the straightforward whole-column decide written below, whose results
are equal.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stage1.policy import CalibrateConfig, Decisions, ExitPolicy, Predictions, fit_all


def naive(policy: Any, logits_N2: np.ndarray, gate_N: np.ndarray) -> Decisions:
    """Decide as one would write it first: whole columns, temporaries as large as the data."""
    wide = logits_N2.astype(np.float64)
    d = wide[:, 1] - wide[:, 0]
    if policy.name == "softmax":
        positive = d >= policy.positive_from
        answered = (d < policy.negative_below) | positive
        label = np.where(answered, positive, d >= 0)
    elif policy.name == "gate":
        answered = gate_N.astype(np.float64) > (-np.inf if policy.accept_above is None else policy.accept_above)
        label = d >= policy.positive_from
    else:
        weight, intercept = np.array(policy.dirichlet.weight), np.array(policy.dirichlet.intercept)
        log_p = wide - np.logaddexp(wide[:, 0], wide[:, 1])[:, None]
        scores = log_p @ weight.T + intercept
        d = scores[:, 1] - scores[:, 0]
        sets = np.column_stack([-d >= policy.set_from, d >= policy.set_from])
        sets[gate_N.astype(np.float64) < policy.accept_from] = True
        answered = sets[:, 0] != sets[:, 1]
        label = np.where(answered, sets[:, 1], d >= 0)
        return Decisions(answered, label.astype(np.int8), 1 / (1 + np.exp(-d)), sets)
    sets = np.column_stack([~answered | ~label, ~answered | label])
    return Decisions(answered, label.astype(np.int8), 1 / (1 + np.exp(-d)), sets)


def best(call: Callable[[], Any], repeats: int) -> float:
    """Return the fastest of some calls in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def drawn(num_rows: int, seed: int, dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, labels and gate logits."""
    rng = np.random.default_rng(seed)
    label = (rng.random(num_rows) < 0.3).astype(np.int8)
    hard = rng.random(num_rows) < 0.06
    margin = np.where(hard, 0.3, 3.0) * (2 * label - 1) + 1.2 * rng.normal(size=num_rows)
    gate = np.where(hard, 0.0, 2.0) + rng.normal(size=num_rows)
    return np.column_stack([np.zeros(num_rows), margin]).astype(dtype), label, gate.astype(dtype)


def main() -> None:
    """Fit on a few rows, decide many, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a million rows")
    size = 1_000_000 if parser.parse_args().quick else 10_000_000
    logits, labels, gate = drawn(20_000, 0, np.float32)
    policies: dict[Any, ExitPolicy] = dict(fit_all(Predictions(logits, labels, gate), CalibrateConfig()))
    print(f"{size:,} rows          decide   ns a row   x copy   x np.add   naive / ours")
    for dtype in (np.float32, np.float64):
        logits, _, gate = drawn(size, 1, dtype)
        total = np.empty(size, dtype)
        add = best(lambda z=logits, out=total: np.add(z[:, 0], z[:, 1], out=out), 3)
        for name, policy in policies.items():
            ours = best(lambda p=policy, z=logits, g=gate: p.decide(z, g), 3)
            found, plain = policy.decide(logits, gate), naive(policy, logits, gate)
            equal = all(
                np.array_equal(getattr(found, key), getattr(plain, key)) for key in ("answered", "label", "set")
            )
            close = np.allclose(found.probability, plain.probability, rtol=1e-9, atol=0)
            if name != "scrc" and not (equal and close):
                raise SystemExit(f"{name}: the two differ")
            differ = int((found.answered != plain.answered).sum())
            blobs = [logits, *([gate] if policy.reads_gate else []), found.answered, found.label, found.set]
            blobs.append(found.probability)
            copy = best(lambda b=blobs: [blob.copy() for blob in b], 3)
            del found, plain, blobs
            slow = best(lambda p=policy, z=logits, g=gate: naive(p, z, g), 3)
            print(
                f"{np.dtype(dtype).name} {name:<8} {ours:>7.3f} s {ours / size * 1e9:>9.1f} {ours / copy:>8.1f} "
                f"{ours / add:>10.1f} {slow / ours:>14.1f}   {differ} answers differ"
            )


if __name__ == "__main__":
    main()
