"""A bundle's consumer beside plain onnxruntime on the same model, and beside a transformers pipeline.

    python benchmarks/consumer_latency.py [--quick] [--bundle FOLDER] [--install]

Measured in one run: cold start (a fresh process up to its first decision), one image, batches, memory; with --install
also what a consumer's `pip install` puts on the disk. The work is the same on both sides: a JPEG's bytes in, an answer
out; plain onnxruntime gets the three lines of pillow that the model needs, and no check of anything.

Peers: onnxruntime and pillow (installed with stage1). transformers is optional:
    uv pip install --target /tmp/peers transformers && PYTHONPATH=/tmp/peers python benchmarks/consumer_latency.py
"""

import argparse
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

COLD = {
    "stage1": """
from stage1.bundle import Bundle
bundle = Bundle.load(FOLDER)
print(bundle.decide([IMAGE])[0].answer)
""",
    "onnxruntime": """
import numpy, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(FOLDER + "/model.onnx", providers=["CPUExecutionProvider"])
image = numpy.asarray(Image.open(IMAGE).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
print(session.run(["logits", "gate"], {"images": image[None]})[0].argmax())
""",
    "transformers": """
from transformers import pipeline
print(pipeline("image-classification", model=VIT, device=-1)(IMAGE)[0]["label"])
""",
}


def vit_bundle(folder: Path, size: int) -> Path:
    """A bundle with a network of ViT-Ti's cost: 12 blocks of matrix products over 197 tokens of 192 numbers."""
    import torch

    from tests.bundle.making import RED, Maker, picture

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = torch.nn.Conv2d(3, 192, 16, 16)
            self.blocks = torch.nn.ModuleList(
                torch.nn.TransformerEncoderLayer(192, 3, 768, 0.0, "gelu", batch_first=True, norm_first=True)
                for _ in range(12)
            )
            self.head = torch.nn.Linear(192, 3)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            tokens = self.patch(images.permute(0, 3, 1, 2).float() / 255).flatten(2).transpose(1, 2)
            for block in self.blocks:
                tokens = block(tokens)
            out = self.head(tokens.mean(1))
            return out[:, :2], out[:, 2]

    from stage1.bundle import CanaryImage, write_bundle
    from stage1.bundle.network import Network as Session
    from stage1.data.preprocess import Preprocessing

    torch.manual_seed(0)
    given = Maker(folder / "sources").arguments(preprocessing=Preprocessing(image_size=size))
    model = Network().eval()
    torch.backends.mha.set_fastpath_enabled(False)
    torch.onnx.export(
        model,
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        given["model"],
        input_names=["images"],
        output_names=["logits", "gate"],
        dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    logits, gate = Session(given["model"].read_bytes())(picture(RED, size)[None])
    image = given["canaries"][0].image
    Image.fromarray(picture(RED, size)).save(image)
    given["canaries"] = [CanaryImage(image, (float(logits[0, 0]), float(logits[0, 1])), float(gate[0]))]
    write_bundle(folder / "bundle", **given)
    return folder / "bundle"


def vit_checkpoint(folder: Path) -> None:
    """A random ViT-Ti for the pipeline, made here: nothing is downloaded."""
    code = """
import sys, torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
torch.manual_seed(0)
config = ViTConfig(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, num_labels=2)
ViTForImageClassification(config).save_pretrained(sys.argv[1])
ViTImageProcessor().save_pretrained(sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)  # noqa: S603


def cold(kind: str, names: dict[str, Any], repeats: int) -> tuple[float, float]:
    """Return (median seconds, MiB at most) of a fresh process up to its first decision."""
    code = "".join(f"{name} = {value!r}\n" for name, value in names.items()) + COLD[kind]
    # Not ru_maxrss: a process begins with its parent's.
    code += "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    seconds, memory = [], 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603
        seconds.append(time.perf_counter() - start)
        memory = max(memory, int(done.stdout.split()[-1]) / 1024)
    return statistics.median(seconds), memory


def interleaved(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, taken in turns so that a busy machine is busy for all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--bundle", type=Path, help="a bundle to measure; default: one of ViT-Ti's cost, made here")
    parser.add_argument("--install", action="store_true", help="also install a consumer and count its bytes")
    given = parser.parse_args()
    repeats = 30 if given.quick else 200
    with tempfile.TemporaryDirectory() as made:
        folder = given.bundle or vit_bundle(Path(made), 224)
        measure(folder, Path(made), repeats, starts=3 if given.quick else 7)
        if given.install:
            installed(Path(made) / "install")


def measure(folder: Path, work: Path, repeats: int, starts: int) -> None:
    """Print cold start, single images and batches."""
    import onnxruntime

    from stage1.bundle import Bundle

    bundle = Bundle.load(folder)
    size = int(bundle.manifest.preprocessing["image_size"])
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "jpeg", quality=90)
    data = stream.getvalue()
    path = work / "image.jpg"
    path.write_bytes(data)
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])

    def plain(images: list[bytes]) -> Any:
        batch = [
            np.asarray(Image.open(io.BytesIO(image)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
            for image in images
        ]
        return session.run(["logits", "gate"], {"images": np.stack(batch)})

    def bare() -> Any:
        return session.run(["logits", "gate"], {"images": pixels})

    pixels = np.stack([bundle._load(0, data)])
    if not np.allclose(bundle.score([data], batch_size=1)[0], bare()[0], atol=1e-6):
        raise SystemExit("the two do not give the same logits: nothing to compare")
    calls: dict[str, Callable[[], Any]] = {
        "stage1": lambda: bundle.decide([data], batch_size=1),
        "onnxruntime": lambda: plain([data]),
    }
    checkpoint = work / "vit"
    if importlib.util.find_spec("transformers"):
        vit_checkpoint(checkpoint)
        from transformers import pipeline

        asked = pipeline("image-classification", model=str(checkpoint), device=-1)
        calls["transformers"] = lambda: asked(Image.open(io.BytesIO(data)))
    else:
        print("transformers is not installed: uv pip install --target /tmp/peers transformers; PYTHONPATH=/tmp/peers")
    interleaved(calls, 5)
    one = interleaved(calls, repeats)
    batch = [data] * 32
    many = interleaved(
        {"stage1": lambda: bundle.decide(batch), "onnxruntime": lambda: plain(batch)}, max(3, repeats // 20)
    )
    names = {"FOLDER": str(folder), "IMAGE": str(path), "SIZE": size, "VIT": str(checkpoint)}
    print(f"{'':<14}{'cold start':>12}{'memory':>12}{'one image':>12}{'32 images':>14}")
    for name, seconds in one.items():
        start, memory = cold(name, names, starts)
        rate = f"{32 / many[name]:>9.1f} im/s" if name in many else ""
        print(f"{name:<14}{start:>10.2f} s{memory:>8.0f} MiB{seconds * 1000:>9.2f} ms{rate:>14}")
    print(f"stage1 / onnxruntime at batch 1: {one['stage1'] / one['onnxruntime']:.3f} (wanted: at most 1.10)")
    print(f"stage1 / onnxruntime at batch 32: {many['stage1'] / many['onnxruntime']:.3f}")
    if "transformers" in one:
        print(f"stage1 / transformers at batch 1: {one['stage1'] / one['transformers']:.3f}")


def installed(target: Path) -> None:
    """Install stage1 and onnxruntime with pillow into two folders and print their sizes."""
    root = Path(__file__).parent.parent
    for name, wanted in (("stage1", [str(root)]), ("onnxruntime", ["onnxruntime", "pillow"])):
        tool = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target / name)]
        subprocess.run([*tool, *wanted], check=True, env={**os.environ, "UV_LINK_MODE": "copy"})  # noqa: S603
        num_bytes = sum(path.stat().st_size for path in (target / name).rglob("*") if path.is_file())
        count = len(list((target / name).glob("*.dist-info")))
        print(json.dumps({"install": name, "MiB": round(num_bytes / 2**20), "packages": count}))


if __name__ == "__main__":
    main()
