"""Dividing 1, 3 and 10 million images: time and peak memory, beside scikit-learn's GroupShuffleSplit on the same rows.

Each run is a process of its own. What is measured is everything but reading the images themselves: placing groups,
joining copies and looking for near-duplicates, the split report, writing the manifest, reading and checking it again.
One image in 100 is a byte copy under another name; a group is a drive of 24 images.

    python benchmarks/split_scale.py [--quick]

The peer does less: it draws groups at random for one pair of sides, three times for four splits, and keeps no manifest.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_GIB = 4.0


def main() -> None:
    """Print a table, and fail where 10 million rows need more than the limit or cost is not linear."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="300,000 rows at most")
    parser.add_argument("--worker", nargs=2, metavar=("WHO", "ROWS"))
    arguments = parser.parse_args()
    if arguments.worker:
        who, count = arguments.worker
        print(json.dumps({"stage1": _stage1, "peer": _peer}[who](int(count))))
        return
    sizes = (100_000, 300_000) if arguments.quick else (1_000_000, 3_000_000, 10_000_000)
    print("       rows    split    write     read  s / million      peak     peer  ratio")
    rates = []
    for count in sizes:
        ours, peer = _measure("stage1", count), _measure("peer", count)
        total = ours["split_s"] + ours["write_s"] + ours["read_s"]
        rates.append(total / count * 1e6)
        print(
            f"{count:11,} {ours['split_s']:7.1f}s {ours['write_s']:7.1f}s {ours['read_s']:7.1f}s {rates[-1]:11.2f}s "
            f"{ours['peak_gib']:5.2f} GiB {peer['split_s']:7.1f}s {ours['split_s'] / peer['split_s']:6.2f}"
        )
        if count >= 10_000_000 and ours["peak_gib"] > LIMIT_GIB:
            sys.exit(f"10 million rows need {ours['peak_gib']:.2f} GiB; at most {LIMIT_GIB} are allowed.")
    if rates[-1] > 1.5 * rates[0]:
        sys.exit(f"Cost is not linear: {rates[0]:.2f} s a million rows at first, {rates[-1]:.2f} s at last.")


def _measure(who: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", who, str(count)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this very file
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _columns(count: int):
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    number = pc.cast(pa.array(np.arange(count)), pa.string())
    drive = pc.cast(pa.array(np.arange(count) // 24), pa.string())
    uris = pc.binary_join_element_wise("images/", pc.utf8_lpad(number, 9, "0"), ".jpg", "")
    groups = pc.binary_join_element_wise("drive-", drive, "")
    labels = (np.arange(count) // 2 % 3 == 0).astype(np.int8)
    labels[1::100] = labels[::100]
    return uris, groups, labels


def _stage1(count: int) -> dict[str, float]:
    import numpy as np
    import pyarrow as pa

    from stage1.data.build import divide
    from stage1.data.config import SplitConfig
    from stage1.data.listing import Listing, listing_table
    from stage1.data.manifest import Manifest
    from stage1.data.origin import Origin
    from stage1.data.scan import Scan

    def scanned() -> Scan:
        rng = np.random.default_rng(0)
        found = Scan.empty(count)
        found.digests[:] = rng.integers(0, 256, (count, 32), dtype=np.uint8)
        found.looks[:] = rng.integers(0, 2**64, count, dtype=np.uint64)
        found.digests[1::100], found.looks[1::100] = found.digests[::100], found.looks[::100]
        found.sizes[:], found.looked[:] = 64, True
        return found

    uris, groups, labels = _columns(count)
    with tempfile.TemporaryDirectory() as folder:
        listing = Listing(Origin(folder), listing_table(uris, pa.array(labels), group=groups), ("no", "yes"), [])
        del uris, groups, labels
        found = [scanned()]
        start = time.perf_counter()
        manifest, _ = divide("rows", [listing], found.pop(), SplitConfig())
        split = time.perf_counter()
        del listing
        manifest.write(Path(folder) / "manifest.parquet")
        written = time.perf_counter()
        digest = manifest.data_digest
        del manifest
        again = Manifest.read(Path(folder) / "manifest.parquet")
        read = time.perf_counter()
    if again.data_digest != digest or len(again.table) != count:
        raise SystemExit("what was read is not what was written")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"split_s": split - start, "write_s": written - split, "read_s": read - written, "peak_gib": peak}


def _peer(count: int) -> dict[str, float]:
    from sklearn.model_selection import GroupShuffleSplit

    uris, groups, labels = _columns(count)
    paths, names = uris.to_numpy(zero_copy_only=False), groups.to_numpy(zero_copy_only=False)
    start = time.perf_counter()
    rest, sizes = None, (0.7, 1 / 3, 1 / 2)
    for share in sizes:
        chosen = slice(None) if rest is None else rest
        splitter = GroupShuffleSplit(n_splits=1, train_size=share, random_state=0)
        _, held = next(splitter.split(paths[chosen], labels[chosen], names[chosen]))
        rest = held if rest is None else rest[held]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"split_s": time.perf_counter() - start, "peak_gib": peak}


if __name__ == "__main__":
    main()
