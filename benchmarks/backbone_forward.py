"""What running a backbone block by block costs beside the library's own network: a training step of each, in turn.

    python benchmarks/backbone_forward.py [--size S] [--image 224] [--batch 8] [--device cpu] [--bf16]

Prints ratios, ours / the library's bare model (1 = no overhead), for whole images, and for encoding a quarter of the
patches against whole images of the library (what masked pre-training saves). Both have the same weights and inputs;
their steps alternate, and the median of the ratios of neighbours is printed, with the quartiles.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig

SIZES = {"Ti": (192, 3, 12), "S": (384, 6, 12), "B": (768, 12, 12), "L": (1024, 16, 24)}  # width, heads, depth


def configs(size: str) -> dict[str, BackboneConfig]:
    """One of each implementation, with equal dimensions."""
    width, heads, depth = SIZES[size]
    timm = {"embed_dim": width, "num_heads": heads, "depth": depth}
    dimensions = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": depth, "patch_size": 16}
    of_timm = {"dinov3": "vit_small_patch16_dinov3", "vit": "vit_small_patch16_224"}
    of_transformers = {
        "dinov3": {"model_type": "dinov3_vit", "intermediate_size": 4 * width, "num_register_tokens": 4},
        "vit": {"model_type": "vit", "intermediate_size": 4 * width},
    }
    return {
        f"{kind} {name}": BackboneConfig(kind=kind, architecture=architecture)
        for name in ("dinov3", "vit")
        for kind, architecture in (
            ("timm", {"architecture": of_timm[name], "model_args": timm}),
            ("transformers", {**dimensions, **of_transformers[name]}),
        )
    }


def timed(function: Callable[[], torch.Tensor], network: torch.nn.Module, device: str, half: bool) -> float:
    """Seconds of one forward and backward."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.autocast(device, torch.bfloat16, enabled=half):
        result = function()
    torch.autograd.backward(result.float().square().mean())
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    network.zero_grad(set_to_none=True)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="Ti")
    parser.add_argument("--image", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    for name, config in configs(args.size).items():
        torch.manual_seed(0)
        backbone: Any = build_backbone(config, args.image)
        backbone.to(args.device).train()
        x_BCHW = torch.randn(args.batch, 3, args.image, args.image, device=args.device)
        num_patches = backbone.grid[0] * backbone.grid[1]
        order_BP = torch.rand(args.batch, num_patches, device=args.device).argsort(dim=1)
        ids_BV = order_BP[:, : num_patches // 4]

        def bare(backbone: Any = backbone, x_BCHW: torch.Tensor = x_BCHW) -> torch.Tensor:
            trunk = backbone.trunk
            tokens = trunk.forward_features(x_BCHW) if hasattr(trunk, "forward_features") else trunk(x_BCHW)
            tokens = getattr(tokens, "last_hidden_state", tokens)
            pooled: torch.Tensor = tokens[:, backbone.num_prefix :].mean(1)
            return pooled

        def ours(backbone: Any = backbone, x_BCHW: torch.Tensor = x_BCHW) -> torch.Tensor:
            pooled: torch.Tensor = backbone.forward_pooled(x_BCHW)
            return pooled

        def quarter(
            backbone: Any = backbone, x_BCHW: torch.Tensor = x_BCHW, ids_BV: torch.Tensor = ids_BV
        ) -> torch.Tensor:
            tokens: torch.Tensor = backbone.encode_visible(x_BCHW, ids_BV)
            return tokens

        found: dict[str, list[float]] = {"whole": [], "quarter": []}
        for number in range(args.rounds + 3):
            library = timed(bare, backbone, args.device, args.bf16)
            whole = timed(ours, backbone, args.device, args.bf16)
            part = timed(quarter, backbone, args.device, args.bf16)
            if number >= 3:  # the first three warm up
                found["whole"].append(whole / library)
                found["quarter"].append(part / library)
        words = []
        for what, ratios in found.items():
            low, middle, high = statistics.quantiles(ratios, n=4)
            words.append(f"{what} {middle:.3f} ({low:.3f} to {high:.3f})")
        print(f"{name:20s} {'   '.join(words)}", flush=True)


if __name__ == "__main__":
    main()
