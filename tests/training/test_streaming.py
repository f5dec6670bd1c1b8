"""Training from shards: killed without warning anywhere, it ends as one that was not; and more positives on request."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import SPLITS, ImageBatches, Manifest, Preprocessing, SplitConfig, make_split
from stage1.data.packing import pack
from stage1.errors import BadData
from stage1.training.batches import Sampler
from stage1.training.processes import Processes

BATCH, EPOCHS = 8, 3

SCRIPT = """
import hashlib, json, sys, time
from pathlib import Path
from stage1.data import Manifest, ImageBatches, Preprocessing, SPLITS
from stage1.model.classifier import Normalise
from stage1.model.convnet import ConvNet
from stage1.training import loop
from stage1.training.augmentation import augment, draw_augmentation
from stage1.training.batches import Sampler
from stage1.training.processes import Processes
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import AugmentConfig, CheckpointConfig, LoopConfig
from stage1.training.device import prepare_device
import torch

manifest, shards, folder, log = sys.argv[1:5]
config = LoopConfig(threads=1, device="cpu", batch_size=8, checkpoint=CheckpointConfig(every_steps=1))
place = prepare_device(config)
torch.manual_seed(0)
rows = Manifest.read(Path(manifest)).rows(*SPLITS, allowed=SPLITS)
images = ImageBatches(rows, Preprocessing(image_size=16), 0, num_threads=2, shards=shards)
network, normalise = ConvNet((8, 16)), Normalise()
sampler = Sampler(images, 8, 0, window=2)
running = loop.Loop(network, sampler, config, epochs=3, checkpoints=Checkpoints(Path(folder)), place=place)

class Logged:
    whole_batch = False

    def draw(self, count, size, generator):
        return draw_augmentation(count, size, generator, AugmentConfig())

    def forward(self, images_bHW3, drawn):
        self.pixels = hashlib.sha256(images_bHW3.numpy().tobytes()).hexdigest()
        return (network.forward_map(normalise(augment(images_bHW3, drawn))),)

    def loss(self, outputs, rows_b):
        with open(log, "a") as stream:
            done = [running.progress.epoch, running.progress.step]
            print(json.dumps([done, rows_b.tolist(), self.pixels]), file=stream, flush=True)
        time.sleep(0.02)
        return outputs[0].square().mean()

running.run(lambda _: Logged(), lambda *_: {})
state = b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())
print(hashlib.sha256(state).hexdigest())
"""


@pytest.fixture(scope="module")
def packed(streets: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The manifest's file and its shards, some twelve images each."""
    folder = tmp_path_factory.mktemp("packed")
    manifest, _ = make_split(streets.rows.roots[0], SplitConfig())
    manifest.write(folder / "manifest.parquet")
    pack(manifest, str(folder / "shards"), megapixels=12 * 256 / 1e6)
    return folder / "manifest.parquet", str(folder / "shards")


def start(packed: tuple[Path, str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(packed[0]), packed[1], str(folder / "run"), str(folder / "log")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines(folder: Path) -> list[Any]:
    log = folder / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_killed_in_the_middle_of_epochs_every_image_is_still_seen_once_in_the_same_order(
    packed: tuple[Path, str], tmp_path: Path
) -> None:
    """SIGKILL, twice, at moments that nobody chose; 96 images in 12 steps an epoch."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    with start(packed, whole) as process:
        undisturbed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, undisturbed
    for at_least in (5, 20):
        with start(packed, broken) as process:
            patience = time.monotonic() + 120
            while len(lines(broken)) < at_least and process.poll() is None and time.monotonic() < patience:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"
    with start(packed, broken) as process:
        resumed, _ = process.communicate(timeout=120)
    assert resumed == undisturbed
    expected, found = lines(whole), lines(broken)
    assert len(expected) == EPOCHS * 96 // BATCH < len(found) <= len(expected) + 4, "a step or two were done again"
    assert {tuple(place): rest for place, *rest in found} == {tuple(place): rest for place, *rest in expected}
    for epoch in range(EPOCHS):
        seen = [row for place, rows, _ in expected if place[0] == epoch for row in rows]
        assert sorted(seen) == list(range(96))


@pytest.mark.parametrize("from_shards", [False, True])
def test_epochs_have_the_share_of_positives_that_was_asked_for_and_go_on_at_any_step(
    packed: tuple[Path, str], from_shards: bool
) -> None:
    rows = Manifest.read(packed[0]).rows(*SPLITS, allowed=SPLITS)
    images = ImageBatches(rows, Preprocessing(image_size=16), 0, shards=packed[1] if from_shards else "")
    sampler = Sampler(images, BATCH, 5, window=2, labels_N=rows.labels, positive_share=0.75)
    assert (rows.labels == 1).sum() == 48
    orders = set()
    for epoch in range(3):
        whole = [batch.rows_B.tolist() for batch in sampler.epoch(epoch)]
        order = np.concatenate(whole)
        orders.add(tuple(order))
        assert len(whole) == sampler.steps_per_epoch == 12
        assert rows.labels[order].sum() == 72
        for step in (0, 1, 7, 12):
            assert [batch.rows_B.tolist() for batch in sampler.epoch(epoch, step)] == whole[step:]
    assert len(orders) == 3
    first = next(iter(sampler.epoch(0)))
    assert torch.equal(first.images_bHW3, torch.from_numpy(images.take(first.rows_B)))


def test_fewer_images_than_ranks_are_refused(packed: tuple[Path, str]) -> None:
    rows = Manifest.read(packed[0]).rows(*SPLITS, allowed=SPLITS)
    images = ImageBatches(rows, Preprocessing(image_size=16), 0)
    with pytest.raises(BadData, match="96 images in batches of at most 8 make one of 8, too few for 97 processes"):
        Sampler(images, BATCH, 0, processes=Processes(96, 97))
