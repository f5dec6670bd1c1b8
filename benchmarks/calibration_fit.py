"""Calibration fits at a million and ten million images, beside scikit-learn: seconds, peak memory, equal maps.

    python benchmarks/calibration_fit.py [--quick]

Each fit runs in a process of its own, because peak memory (ru_maxrss) never falls. "memory" is that peak above what the
process held with the data (float32 logits and one-byte labels) and the libraries loaded.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

METHODS = ("platt", "platt by scikit-learn", "temperature", "temperature by scikit-learn", "dirichlet", "dirichlet, cv")
PEER = {"platt": "platt by scikit-learn", "temperature": "temperature by scikit-learn"}


def measure(method: str, num_images: int) -> dict[str, object]:
    """Return seconds, peak MiB and the map's parameters of one fit."""
    rng = np.random.default_rng(0)
    label = (rng.random(num_images) < 0.3).astype(np.int8)
    margin = 2 * rng.standard_normal(num_images, dtype=np.float32) + 2 * label.astype(np.float32)
    logits = np.zeros((num_images, 2), dtype=np.float32)
    logits[:, 1] = margin
    run = _runner(method)
    run(margin[:1000], logits[:1000], label[:1000])  # imports and first-call costs
    before = _peak()
    start = time.perf_counter()
    parameters = run(margin, logits, label)
    return {"seconds": time.perf_counter() - start, "mib": _peak() - before, "parameters": parameters}


def _runner(method: str):  # type: ignore[no-untyped-def]
    """Return a function from (margin, logits, label) to a list of parameters."""
    from stage1.calibration import Dirichlet, Platt, Temperature
    from stage1.calibration.dirichlet_fit import choose_penalty

    def platt(margin, _logits, label):  # type: ignore[no-untyped-def]
        found = Platt().fit(margin, label)
        return [found.slope, found.intercept]

    def platt_peer(margin, _logits, label):  # type: ignore[no-untyped-def]
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(margin[:, None].astype(np.float64), label)
        return [float(found.coef_[0, 0]), float(found.intercept_[0])]

    def temperature_peer(_margin, logits, label):  # type: ignore[no-untyped-def]
        from sklearn.base import BaseEstimator, ClassifierMixin
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        class Logits(ClassifierMixin, BaseEstimator):
            classes_ = np.array([0, 1])

            def fit(self, _x, _y):  # type: ignore[no-untyped-def]
                return self

            def decision_function(self, x):  # type: ignore[no-untyped-def]
                return np.subtract(x[:, 1], x[:, 0], dtype=np.float64)

            def __sklearn_is_fitted__(self):  # type: ignore[no-untyped-def]
                return True

            def predict(self, x):  # type: ignore[no-untyped-def]
                return (x[:, 1] > x[:, 0]).astype(np.int8)

        fitted = CalibratedClassifierCV(FrozenEstimator(Logits()), method="temperature").fit(logits, label)
        # It reads a margin d as the logits (-d, d), twice as far apart as (0, d).
        return [0.5 / float(fitted.calibrated_classifiers_[0].calibrators[0].beta_)]

    runners = {
        "platt": platt,
        "platt by scikit-learn": platt_peer,
        "temperature": lambda _m, logits, label: [Temperature().fit(logits, label).temperature],
        "temperature by scikit-learn": temperature_peer,
        "dirichlet": lambda _m, logits, label: list(Dirichlet().fit(logits, label).slopes),
        "dirichlet, cv": lambda _m, logits, label: list(choose_penalty(logits, label).slopes),
    }
    return runners[method]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 and a million images")
    parser.add_argument("--measure", nargs=2, metavar=("METHOD", "IMAGES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], int(options.measure[1]))))
        return
    sizes = (100_000, 1_000_000) if options.quick else (1_000_000, 10_000_000)
    print("| fit | images | seconds | memory, MiB | peer / ours | parameters | largest difference |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        done = {}
        for method in METHODS:
            command = [sys.executable, __file__, "--measure", method, str(size)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
            done[method] = json.loads(printed)
        for method, found in done.items():
            peer = done.get(PEER.get(method, ""))
            ratio = f"{peer['seconds'] / found['seconds']:.1f} x" if peer else ""
            apart = f"{np.abs(np.subtract(peer['parameters'], found['parameters'])).max():.1e}" if peer else ""
            print(
                f"| {method} | {size:,} | {found['seconds']:.2f} | {found['mib']:.0f} | {ratio} | "
                f"{', '.join(f'{value:.6f}' for value in found['parameters'])} | {apart} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
