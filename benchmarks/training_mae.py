"""A step of masked autoencoding against transformers' ViTMAEForPreTraining at equal sizes: time and peak memory.

    python benchmarks/training_mae.py [--image-size 224] [--batch-size 16] [--rounds 8] [--threads 1]

Both train a ViT-Tiny (12 blocks of width 192) with 75 % of its patches hidden and a decoder of 4 blocks of width 128,
on the same random images, in float32 on the CPU: forward, backward, fused AdamW. Steps alternate in one process; the
ratio is the median of the rounds' ratios. Peak memory is that of a process of its own each: the highest resident size
during three steps less the resident size before the model was built.

Equal losses at equal weights are shown by tests/model/test_masked_autoencoder.py; here both start at random.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

PATCH, WIDTH, DEPTH, HEADS = 16, 192, 12, 3
DECODER_WIDTH, DECODER_DEPTH = 128, 4
NAMES = ("stage1", "transformers")


def stage1_model(image_size: int) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """Our autoencoder and its loss of a batch."""
    from stage1.model.backbone import build_backbone
    from stage1.model.config import BackboneConfig
    from stage1.model.masked_autoencoder import MaskedAutoencoder

    backbone: Any = build_backbone(BackboneConfig(kind="timm", name="vit_tiny_patch16_224"), image_size)
    model = MaskedAutoencoder(backbone, 0.75, DECODER_WIDTH, DECODER_DEPTH)
    generator = torch.Generator().manual_seed(0)
    return model, lambda images: model(images, generator).loss


def transformers_model(image_size: int) -> tuple[nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """The peer of the same sizes, with standardised patches as targets as in ours."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        image_size=image_size,
        patch_size=PATCH,
        decoder_hidden_size=DECODER_WIDTH,
        decoder_num_hidden_layers=DECODER_DEPTH,
        decoder_num_attention_heads=DECODER_WIDTH // 32,
        decoder_intermediate_size=4 * DECODER_WIDTH,
        mask_ratio=0.75,
        norm_pix_loss=True,
    )
    model = ViTMAEForPreTraining(config)
    return model, lambda images: model(images).loss


def stepper(name: str, image_size: int) -> tuple[nn.Module, Callable[[torch.Tensor], float]]:
    """The model in training mode and a function that takes one step and returns the loss."""
    torch.manual_seed(0)
    model, loss_of = stage1_model(image_size) if name == "stage1" else transformers_model(image_size)
    learning = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1.5e-4, weight_decay=0.05, fused=True)

    def step(images: torch.Tensor) -> float:
        loss = loss_of(images)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return model, step


def resident_mib() -> float:
    """Resident size of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def print_peak(name: str, image_size: int, batch_size: int) -> None:
    """Run three steps alone and print MiB above the imports; a small step first makes the lazy ones."""
    stepper(name, 32)[1](torch.randn(2, 3, 32, 32))
    images = torch.randn(batch_size, 3, image_size, image_size)
    before = resident_mib()
    _, step = stepper(name, image_size)
    for _ in range(3):
        step(images)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before)


def peak_mib(name: str, arguments: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--peak-of", name, "--image-size", str(arguments.image_size)]
    command += ["--batch-size", str(arguments.batch_size), "--threads", str(arguments.threads)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  our own script
    return float(found.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak-of", choices=NAMES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print_peak(arguments.peak_of, arguments.image_size, arguments.batch_size)
        return
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(arguments.batch_size, 3, arguments.image_size, arguments.image_size, generator=generator)
    models = {name: stepper(name, arguments.image_size) for name in NAMES}
    for _, step in models.values():
        step(images)
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(arguments.rounds):
        for name in NAMES if number % 2 else NAMES[::-1]:
            started = time.perf_counter()
            models[name][1](images)
            seconds[name].append(time.perf_counter() - started)
    ratios = [theirs / ours for ours, theirs in zip(seconds["stage1"], seconds["transformers"], strict=True)]
    print(f"{arguments.batch_size} images of {arguments.image_size} px a step, {arguments.threads} thread(s)")
    print(f"{'':14}{'weights':>12}{'s a step':>10}{'images/s':>10}{'peak MiB':>10}")
    for name in NAMES:
        learning = sum(each.numel() for each in models[name][0].parameters() if each.requires_grad)
        median = statistics.median(seconds[name])
        peak = peak_mib(name, arguments)
        print(f"{name:14}{learning:12,}{median:10.3f}{arguments.batch_size / median:10.1f}{peak:10.0f}")
    print(f"transformers / stage1, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
