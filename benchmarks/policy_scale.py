"""The whole calibrate step at 1, 3 and 10 million rows of val_calib: seconds, seconds / (n log n), peak memory.

Every size runs in a process of its own, as the pipeline's step does: predictions.parquet in, policies and prices out.

    python benchmarks/policy_scale.py [--quick] [--profile]
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (1_000_000, 3_000_000, 10_000_000)
LIMIT_BYTES = 2 * 2**30


def draw(path: Path, num_rows: int) -> None:
    """Write num_rows of val_calib, and a tenth as many of val_select, in groups of 24."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stage1.data.predictions import SCHEMA

    rng = np.random.default_rng(0)
    meta = {b"stage1": json.dumps({"data_digest": "d", "model_digest": "m"}).encode()}
    with pq.ParquetWriter(path, SCHEMA.with_metadata(meta), compression="zstd") as file:
        start = 0
        for split, size in (("val_calib", num_rows), ("val_select", num_rows // 10)):
            for first in range(0, size, 500_000):
                count = min(500_000, size - first)
                label = (rng.random(count) < 0.3).astype(np.int8)
                hard = rng.random(count) < 0.06
                margin = np.where(hard, 0.3, 3.0) * (2 * label - 1) + 1.2 * rng.normal(size=count)
                numbers = np.arange(start, start + count)
                columns = {
                    "id": pa.array(numbers).cast(pa.string()),
                    "split": pa.array([split] * count),
                    "label": pa.array(label),
                    "group": pa.array(numbers // 24).cast(pa.string()),
                    "source": pa.array([""] * count),
                    "logit_0": pa.array(np.zeros(count, np.float32)),
                    "logit_1": pa.array(margin.astype(np.float32)),
                    "gate": pa.array((np.where(hard, 0.0, 2.0) + rng.normal(size=count)).astype(np.float32)),
                }
                file.write_table(pa.table(columns, schema=SCHEMA))
                start += count


def measure(folder: Path, *, profile: bool) -> None:
    """Calibrate what lies in `folder` and print seconds and bytes; runs in the child."""
    from stage1.policy import CalibrateConfig
    from stage1.steps.calibrate import calibrate

    step = calibrate.__wrapped__  # without the record of a pipeline run, which is about files
    out = folder / "out"
    out.mkdir()
    started = time.perf_counter()
    if profile:
        import cProfile
        import pstats

        profiler = cProfile.Profile()
        result = profiler.runcall(step, folder, out, config=CalibrateConfig())
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(35)
    else:
        result = step(folder, out, config=CalibrateConfig())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "coverage": result.coverage, "feasible": result.feasible}))


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 and 300,000 rows")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--sizes", type=int, nargs="*", default=None)
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, profile=given.profile)
        return
    sizes = given.sizes or ((100_000, 300_000) if given.quick else SIZES)
    print("rows         seconds   ns / (n log2 n)   peak MiB   coverage (softmax, gate, scrc)")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            draw(Path(folder) / "predictions.parquet", size)
            command = [sys.executable, __file__, "--measure", folder, *(["--profile"] * given.profile)]
            one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=one_thread)  # noqa: S603
            found = json.loads(done.stdout)
        cost = found["seconds"] / (size * math.log2(size)) * 1e9
        shares = ", ".join(f"{share:.3f}" for share in found["coverage"].values())
        print(f"{size:>10,} {found['seconds']:>9.1f} {cost:>17.1f} {found['peak'] / 2**20:>10,.0f}   {shares}")
        if found["peak"] > LIMIT_BYTES:
            sys.exit(f"{size:,} rows took more than 2 GiB")


if __name__ == "__main__":
    main()
