"""A step of supervised training against Hugging Face's Trainer: same model, images, loss, precision and optimiser.

    python benchmarks/training_step.py [--image-size 96] [--batch-size 32] [--steps 12] [--rounds 6] [--threads 1]
    python benchmarks/training_step.py --device cuda --precision bf16 --name vit_large_patch16_224 --image-size 224

Both train a timm ViT under the three heads, on the same uint8 images held in memory: to the device, normalised, run,
cross-entropy of the heads, backward, clipping, fused AdamW under a cosine. Nothing is augmented or averaged, because
the Trainer does neither. Rounds alternate; a round's first two steps are not counted. The ratio is the median of the
rounds' ratios. Peak memory is that of a process of its own each: on a CPU the highest resident size less that before
the model was built (with our checkpoint at the end of the epoch), on a GPU what torch allocated. On a GPU the share of
its peak rate (MFU) is printed for `--peak-tflops`.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stage1.model.backbone import build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.training.config import PhaseConfig, TrainConfig
from stage1.training.losses import supervised

NAMES = ("stage1", "Trainer")
SKIPPED = 2


def model_of(arguments: argparse.Namespace) -> SelectiveClassifier:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(kind="timm", name=arguments.name), arguments.image_size)
    return SelectiveClassifier(backbone).to(arguments.device)


def images_of(arguments: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """A step's images each for every step of a round."""
    rng = np.random.default_rng(1)
    count, size = arguments.batch_size * arguments.steps, arguments.image_size
    return rng.integers(0, 256, (count, size, size, 3), np.uint8), rng.integers(0, 2, count)


def config_of(arguments: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        device=arguments.device,
        precision=arguments.precision,
        compile=arguments.compile,
        phases=(PhaseConfig(loss="ce", epochs=1),),
        augment={"flip": 0, "min_scale": 1, "colour": 0},
        ema_decay=0,
    )


def loss_of(model: SelectiveClassifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    config = TrainConfig()
    return supervised(
        model(model.normalise(images)), labels, loss="ce", positive_weight=1.0, label_smoothing=0.0,
        target_coverage=config.target_coverage, coverage_penalty=config.coverage_penalty,
        selective_share=config.selective_share, risk=config.risk,
    )  # fmt: skip


def stage1_times(arguments: argparse.Namespace) -> list[float]:
    """Moments at which our loop finished each step."""
    from stage1.data import ImageBatches
    from stage1.training.batches import Sampler
    from stage1.training.checkpoint import Checkpoints
    from stage1.training.device import prepare_device
    from stage1.training.loop import Loop
    from stage1.training.supervised import Supervised

    images, labels = images_of(arguments)

    class Held(ImageBatches):
        def __init__(self) -> None:
            self._kept, self.shard_N = images, np.zeros(len(images), np.int64)

    times: list[float] = []

    class Watch:
        def add(self, _step: int, numbers: Any) -> None:
            if "gradient_norm" in numbers:
                times.append(time.perf_counter())

        def close(self, _status: str) -> None:
            pass

    config = config_of(arguments)
    place = prepare_device(config)
    torch.use_deterministic_algorithms(arguments.device == "cpu")  # the Trainer's are not, on a GPU
    model = model_of(arguments)
    if arguments.compile:
        from stage1.model.execution import compile_blocks

        compile_blocks(model.backbone)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(
            model, Sampler(Held(), arguments.batch_size, 0), config, epochs=1, checkpoints=Checkpoints(Path(folder)),
            place=place, curves=Watch(),
        )  # fmt: skip
        objective = Supervised(model, torch.from_numpy(labels), config, "ce")
        loop.run(lambda _epoch: objective, lambda *_: {})
    return times


class Wrapped(nn.Module):
    """The model as the Trainer wants it: labels in, a loss first out."""

    def __init__(self, model: SelectiveClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": loss_of(self.model, images, labels)}


def trainer_times(arguments: argparse.Namespace) -> list[float]:
    """Moments at which the Trainer finished each step."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    images, labels = images_of(arguments)
    times: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if arguments.device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter())

    class Pairs(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"images": torch.from_numpy(images[index]), "labels": torch.tensor(labels[index])}

    torch.use_deterministic_algorithms(arguments.device == "cpu")
    config = TrainConfig().optimiser
    model = model_of(arguments)
    if arguments.compile:
        from stage1.model.execution import compile_blocks

        compile_blocks(model.backbone)
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=arguments.batch_size, num_train_epochs=1,
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, max_grad_norm=config.clip_norm,
            optim="adamw_torch_fused", lr_scheduler_type="cosine", warmup_steps=1, save_strategy="no",
            report_to=[], disable_tqdm=True, logging_strategy="no", use_cpu=arguments.device == "cpu",
            bf16=arguments.precision == "bf16", dataloader_num_workers=0, remove_unused_columns=False,
        )  # fmt: skip
        Trainer(Wrapped(model), settings, train_dataset=Pairs(), callbacks=[Watch()]).train()
    return times


def seconds_a_step(name: str, arguments: argparse.Namespace) -> float:
    times = (stage1_times if name == "stage1" else trainer_times)(arguments)[SKIPPED:]
    return (times[-1] - times[0]) / (len(times) - 1)


def print_peak(name: str, arguments: argparse.Namespace) -> None:
    """Run once alone and print MiB above what the images and the imports take."""
    small = argparse.Namespace(**vars(arguments) | {"batch_size": 2, "steps": 3, "image_size": 32})
    if arguments.device == "cpu" and not arguments.compile:
        (stage1_times if name == "stage1" else trainer_times)(small)
    images_of(arguments)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    (stage1_times if name == "stage1" else trainer_times)(arguments)
    if arguments.device == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**20)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before)


def peak_mib(name: str) -> float:
    found = subprocess.run(  # noqa: S603  our own script
        [sys.executable, __file__, *sys.argv[1:], "--peak-of", name], check=True, capture_output=True, text=True
    )
    return float(found.stdout.split()[-1])


def flops_an_image(arguments: argparse.Namespace) -> float:
    """Of a forward and a backward pass: 6 a weight and token, and attention's own products."""
    model: Any = model_of(argparse.Namespace(**vars(arguments) | {"device": "cpu"})).backbone
    weights = sum(each.numel() for each in model.trunk.blocks.parameters())
    tokens, width, depth = model.grid[0] * model.grid[1] + model.num_prefix, model.num_features, len(model.block_names)
    return 6 * weights * tokens + 12 * depth * width * tokens**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="vit_tiny_patch16_224")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peak-tflops", type=float, default=0.0, help="Of the GPU in this precision, for MFU.")
    parser.add_argument("--peak-of", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print_peak(arguments.peak_of, arguments)
        return
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(arguments.rounds):
        for name in NAMES if number % 2 else NAMES[::-1]:
            seconds[name].append(seconds_a_step(name, arguments))
    ratios = [theirs / ours for ours, theirs in zip(seconds["stage1"], seconds["Trainer"], strict=True)]
    size, batch = arguments.image_size, arguments.batch_size
    print(f"{arguments.name}, {batch} images of {size} px a step, {arguments.precision}, {arguments.device}")
    for name in NAMES:
        median = statistics.median(seconds[name])
        line = f"{name:10}{median:10.4f} s a step{batch / median:10.1f} images/s{peak_mib(name):10.0f} MiB at most"
        if arguments.peak_tflops:
            line += f"   MFU {batch / median * flops_an_image(arguments) / arguments.peak_tflops / 1e12:.1%}"
        print(line)
    print(f"Trainer / stage1, median of {len(ratios)} rounds: {statistics.median(ratios):.3f}", end=" ")
    print(f"({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
