"""Run the trained model (and the channel's champion) over the held-out splits. GPU work ends here."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from stage1 import events
from stage1.bundle import Bundle, Channel
from stage1.bundle.network import Network
from stage1.data import ImageBatches, Manifest, Preprocessing, Rows
from stage1.data.decode import decode
from stage1.data.predictions import HELD_OUT, PredictionTable
from stage1.data.synth import SynthConfig, render_scene
from stage1.errors import Stage1Error
from stage1.evaluation.judge import worst_indices
from stage1.model import PredictConfig
from stage1.steps.agreement import TOLERANCE, write_agreement
from stage1.steps.artifact import read_artifact
from stage1.steps.documents import write_json
from stage1.steps.rows import held_out_rows
from stage1.steps.step import StepResult, step
from stage1.storage import open_store

if TYPE_CHECKING:
    from stage1.training.scoring import Scores

_CANARIES = SynthConfig(num_drives=8, frames_per_drive=4, image_size=96, seed=2026)
_THUMBNAIL = 192


@dataclass(frozen=True)
class Predicted(StepResult):
    """How many images were scored, how far ONNX is from torch, and which champion was scored beside it."""

    num_images: int
    onnx_max_difference: float
    champion: str


def champion_digest(config: PredictConfig) -> str:
    """The digest of the channel's current bundle; "" where nothing was promoted yet."""
    pointer = Channel(open_store(config.store), config.channel).read()
    return pointer.digest if pointer else ""


@step(state=champion_digest)
def predict(manifest: Path, model: Path, out: Path, *, config: PredictConfig = PredictConfig()) -> Predicted:
    """Score val_select, val_calib and val_test; export ONNX and check it; score val_test with the champion.

    Args:
        manifest: Output folder of the split step.
        model: Output folder of the train step.
        out: Receives predictions.parquet, model.onnx, agreement.json, onnx.parquet, thumbnails/, canaries/ and
            canaries.json; with a champion also champion.parquet and champion.json.
        config: Channel of the champion, batch size, thumbnails.

    Raises:
        Stage1Error: The exported graph disagrees with the model.
    """
    from stage1.model.files import load_model
    from stage1.model.onnx import export_onnx
    from stage1.training.scoring import score

    table = Manifest.read(manifest / "manifest.parquet")
    classifier, description = load_model(model)
    preprocessing = Preprocessing.from_json(description.facts["preprocessing"])
    rows = table.rows(*HELD_OUT, allowed=HELD_OUT)
    images = ImageBatches(rows, preprocessing, config.memory_limit_mb, shards=config.shards)
    scores = score(classifier, images, config.batch_size, report=True)
    predictions = PredictionTable(_columns(rows, scores), table.data_digest, read_artifact(model, "model").digest)
    predictions.write(out / "predictions.parquet")
    test_N = np.flatnonzero(rows.splits == "val_test")
    _write_thumbnails(out / "thumbnails", predictions, images, test_N, config.num_thumbnails)

    export_onnx(classifier, preprocessing.image_size, out / "model.onnx")
    network = Network((out / "model.onnx").read_bytes())
    difference = _check_agreement(network, images, scores, rows.table["id"].to_pylist(), test_N, config.batch_size, out)
    _write_canaries(network, preprocessing, out)
    champion = _score_champion(config, rows, images, test_N, out)
    return Predicted(len(rows), difference, champion)


def _columns(rows: Rows, scores: "Scores") -> pa.Table:
    table = rows.table.select(["id", "split", "label", "group", "source"])
    for name, values in (
        ("logit_0", scores.logits_N2[:, 0]),
        ("logit_1", scores.logits_N2[:, 1]),
        ("gate", scores.gate_N),
    ):
        table = table.append_column(name, pa.array(values, pa.float32()))
    return table


def _check_agreement(
    network: Network,
    images: ImageBatches,
    scores: "Scores",
    ids: list[str],
    test_N: NDArray[np.int64],
    batch_size: int,
    out: Path,
) -> float:
    """Compare the exported graph with the model on all of val_test and write agreement.json and onnx.parquet."""
    batches = [test_N[start : start + batch_size] for start in range(0, len(test_N), batch_size)]
    parts = [network(images_BHW3) for images_BHW3 in images.batches(batches)]
    graph_N3 = np.concatenate([np.column_stack(part) for part in parts]) if parts else np.empty((0, 3))
    model_N3 = np.column_stack([scores.logits_N2[test_N], scores.gate_N[test_N]]).astype(np.float64)
    apart, tolerated = write_agreement(out, [str(ids[row]) for row in test_N], model_N3, graph_N3)
    if not tolerated:
        raise Stage1Error(
            f"model.onnx differs from the trained model by {apart:.2g} in a logit on val_test; at most {TOLERANCE} "
            "relative to the largest logit is tolerated. The backbone has an operation that does not export faithfully."
        )
    return apart


def _write_thumbnails(
    folder: Path, predictions: PredictionTable, images: ImageBatches, test_N: NDArray[np.int64], count: int
) -> None:
    """Small pictures of the surest misses and false alarms on val_test, for the report."""
    folder.mkdir()
    test = held_out_rows(predictions.split("val_test", allowed=HELD_OUT))
    for indices in worst_indices(test, count):
        for index in indices:
            image = decode(images.read(int(test_N[index])))
            image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
            image.save(folder / f"{test.ids_N[index]}.jpg", quality=85)


def _write_canaries(network: Network, preprocessing: Preprocessing, out: Path) -> None:
    """Drawn street scenes with the shipped graph's numbers, so that a consumer can check the whole way of an image.

    They are drawn, not taken from the data: a bundle must not carry photographs of people and plates.
    """
    folder = out / "canaries"
    folder.mkdir()
    entries: list[dict[str, Any]] = []
    for number in range(_CANARIES.num_drives):
        path = folder / f"{number}.png"
        Image.fromarray(render_scene(_CANARIES, drive=number, frame=0).image).save(path)
        logits_N2, gate_N = network(preprocessing.load(path)[None])
        entries.append({"file": path.name, "logits": logits_N2[0].tolist(), "gate": float(gate_N[0])})
    write_json(out / "canaries.json", {"schema": "stage1/canaries/v1", "canaries": entries})


def _score_champion(
    config: PredictConfig, rows: Rows, images: ImageBatches, test_N: NDArray[np.int64], out: Path
) -> str:
    """Score the same val_test rows with the channel's current bundle, by the consumer's own code."""
    store = open_store(config.store)
    pointer = Channel(store, config.channel).read()
    if pointer is None:
        return ""
    bundle = Bundle.load(store.uri_of(f"bundles/sha256/{pointer.digest}"))
    events.note(f"scoring the champion of channel {config.channel}: {pointer.digest[:12]}, sequence {pointer.sequence}")
    logits_N2, gate_N = bundle.score(images.files(test_N))
    table = rows.table.select(["id"]).take(pa.array(test_N))
    for name, values in (("logit_0", logits_N2[:, 0]), ("logit_1", logits_N2[:, 1]), ("gate", gate_N)):
        table = table.append_column(name, pa.array(values, pa.float32()))
    import pyarrow.parquet as pq

    pq.write_table(table, out / "champion.parquet", compression="zstd")
    write_json(
        out / "champion.json",
        {
            "schema": "stage1/champion/v1",
            "digest": pointer.digest,
            "sequence": pointer.sequence,
            "policy": bundle.policy.to_json(),
            "policy_name": bundle.policy_name,
            "model_digest": bundle.manifest.provenance.get("model_digest", ""),
        },
    )
    return pointer.digest
