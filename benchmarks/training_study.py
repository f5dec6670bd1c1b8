"""What pre-training, the losses, F-SAM and the gate are worth, one at a time: five seeds, two data sets, on a CPU.

    python benchmarks/training_study.py OUT [--real ../shared/data/roadwork/manifest.csv] [--seeds 5] [--jobs 1]

Every run goes through the product's own steps (split, pretrain, train, predict, calibrate, evaluate) with the demo's
small network on 64-pixel images: 6,000 drawn scenes, and the photographs if they are there. A seed sets scenes, split
and weights. The peer of every variant is `plain`: cross-entropy under AdamW without pre-training, with as many epochs.
Gate and softmax response are compared on the same model, in every run.

Finished runs are kept in OUT and not made again; OUT/study.md is the table, also printed.
"""

import argparse
import json
import math
import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from scipy.stats import t as student

BASE = (
    "train.batch_size=128",
    "train.positive_share=0.5",  # crc needs its positives in every batch
    "train.risk.alpha=0.05",
    "train.threads=1",
    "pretrain.threads=1",
)
EPOCHS = 12
VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": ("pretrain.epochs=0", f"train.phases=[{{loss: ce, epochs: {EPOCHS}}}]"),
    "pre-trained": ("pretrain.epochs=4", f"train.phases=[{{loss: ce, epochs: {EPOCHS}}}]"),
    "selective": ("pretrain.epochs=0", "train.phases=[{loss: ce, epochs: 8}, {loss: selective, epochs: 4}]"),
    "crc": ("pretrain.epochs=0", "train.phases=[{loss: ce, epochs: 8}, {loss: crc, epochs: 4}]"),
    **{
        f"F-SAM {rho}": (
            "pretrain.epochs=0",
            f"train.phases=[{{loss: ce, epochs: {EPOCHS}}}]",
            f"train.optimiser={{kind: fsam, fsam: {{rho: {rho}}}}}",
        )
        for rho in (0.2, 0.05)
    },
}
MAX_FNR, MAX_FPR = 0.02, 0.05


def scenes(out: Path, seed: int) -> Path:
    """Draw 250 drives of 24 scenes."""
    from stage1.data.synth import SynthConfig, synthesize

    folder = out / "scenes" / str(seed)
    synthesize(folder, SynthConfig(num_drives=250, frames_per_drive=24, image_size=64, seed=seed))
    return folder / "labels.csv"


def run(out: Path, data: str, sheet: Path, seed: int, variant: str) -> dict[str, Any]:
    """Go from a sheet to val_test's numbers, and keep what is asked here."""
    kept = out / f"{data}-{seed}-{variant}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    from stage1.steps import load
    from stage1.steps.configure import configure
    from stage1.steps.step import read_config

    settings = [*BASE, *VARIANTS[variant], f"seed={seed}", f"split.salt=study-{seed}", f"store={out}/no-store"]
    sections = configure("demo", "", json.dumps(settings))
    place = out / "steps" / f"{data}-{seed}-{variant}"

    def go(name: str, *inputs: Any) -> Any:
        step = load(name)
        return step(*inputs, place / name, config=read_config(step, sections[name]))

    go("split", str(sheet))
    go("pretrain", place / "split")
    trained = go("train", place / "split", place / "pretrain")
    go("predict", place / "split", place / "train")
    go("calibrate", place / "predict")
    go("evaluate", place / "predict", place / "calibrate")
    metrics = json.loads((place / "evaluate/metrics.json").read_text())
    found: dict[str, Any] = {
        "positives": metrics["num_positives"],
        "accuracy": metrics["model"]["accuracy"]["value"],
        "gate_collapsed": trained.gate_collapsed,
    }
    for name in ("softmax", "gate"):
        policy = metrics["policies"][name]
        certified = policy["fnr_answered"]["upper"] <= MAX_FNR and policy["fpr_answered"]["upper"] <= MAX_FPR
        coverage = policy["coverage"]["value"]
        found[name] = {"augrc": policy["augrc"]["value"], "coverage": coverage if certified and coverage else None}
    kept.write_text(json.dumps(found))
    return found


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), float(half)


def row(name: str, found: list[dict[str, Any]], peers: list[dict[str, Any]], policy: str, peer: str) -> str:
    """One line: AUGRC, the paired difference to the peer's, and what could be certified."""
    augrc = [1000 * each[policy]["augrc"] for each in found]
    changes = [mine - 1000 * other[peer]["augrc"] for mine, other in zip(augrc, peers, strict=True)]
    mean, half = interval(augrc)
    change = "-"
    if any(changes):
        middle, width = interval(changes)
        verdict = "better" if middle + width < 0 else "worse" if middle - width > 0 else "no difference shown"
        change = f"{middle:+.2f} +- {width:.2f}, {verdict}"
    coverages = [each[policy]["coverage"] for each in found if each[policy]["coverage"] is not None]
    certified = f"{len(coverages)} of {len(found)}"
    if coverages:
        certified += f", {min(coverages):.2f} to {max(coverages):.2f} (mean {statistics.mean(coverages):.2f})"
    return f"| {name} | {mean:.2f} +- {half:.2f} | {change} | {certified} |"


def table(data: str, results: dict[tuple[str, int, str], dict[str, Any]], seeds: range) -> list[str]:
    """The table of one data set."""
    runs = {variant: [results[data, seed, variant] for seed in seeds] for variant in VARIANTS}
    plain = runs["plain"]
    positives = [each["positives"] for each in plain]
    lines = [
        f"## {data}: {len(seeds)} seeds, {min(positives)} to {max(positives)} positives in val_test",
        "",
        f"| variant | AUGRC x 1000 | against its peer | certified at FNR <= {MAX_FNR:.0%}: runs, their coverage |",
        "|---|---:|---:|---|",
    ]
    lines += [row(f"{variant}, softmax", runs[variant], plain, "softmax", "softmax") for variant in VARIANTS]
    lines += [
        row(f"{variant}, gate (peer: its softmax)", runs[variant], runs[variant], "gate", "softmax")
        for variant in VARIANTS
    ]
    collapsed = [
        f"{variant} {count}" for variant in VARIANTS if (count := sum(r["gate_collapsed"] for r in runs[variant]))
    ]
    lines += ["", f"Gates that collapsed: {', '.join(collapsed) or 'none'}.", ""]
    if max(positives) < 149:
        lines += [
            "Not certifiable: 149 answered positives without a miss are needed, and there are fewer positives.",
            "",
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, help="Sheet with path, label and group.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    seeds = range(arguments.seeds)
    sheets = {("drawn scenes", seed): scenes(out, seed) for seed in seeds}
    if arguments.real:
        sheets |= {("photographs", seed): arguments.real.absolute() for seed in seeds}
    wanted = [(data, seed, variant) for variant in VARIANTS for data, seed in sheets]
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        futures = {key: pool.submit(run, out, key[0], sheets[key[:2]], *key[1:]) for key in wanted}
        results = {}
        for number, (key, future) in enumerate(futures.items(), 1):
            results[key] = future.result()
            print(f"{number}/{len(wanted)} {key}: {results[key]}", flush=True)
    lines = [line for data in dict.fromkeys(data for data, _ in sheets) for line in table(data, results, seeds)]
    (out / "study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
