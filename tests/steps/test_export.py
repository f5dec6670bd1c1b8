"""What export asks before it makes a bundle, and what the bundle of a whole run holds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from stage1.bundle import verify
from stage1.bundle.config import ExportConfig
from stage1.data.predictions import PredictionTable
from stage1.errors import BadInput, PromotionRefused
from stage1.policy import load_policy
from stage1.steps.agreement import check_agreement
from stage1.steps.artifact import read_artifact, write_record
from stage1.steps.export import export
from tests.bundle.making import KeyPair

KEYS = ("logit_0", "logit_1", "gate")


@pytest.fixture
def folders(walked: dict[str, Path]) -> dict[str, Path]:
    steps = {"manifest": "split", "model": "train", "predictions": "predict", "policies": "calibrate"}
    steps |= {"evaluation": "evaluate", "decision": "gate"}
    return {name: walked[step] for name, step in steps.items()}


@pytest.fixture
def predictions(walked: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(walked["predict"], tmp_path / "predictions"))


@pytest.fixture
def policy(walked: dict[str, Path]) -> Any:
    chosen = json.loads((walked["gate"] / "decision.json").read_bytes())["policy"]
    file = json.loads((walked["calibrate"] / "policies.json").read_bytes())["policies"][chosen]["file"]
    return load_policy(json.loads((walked["calibrate"] / file).read_bytes()))


def graph(folder: Path) -> dict[str, Any]:
    table = pq.read_table(folder / "onnx.parquet", partitioning=None)
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def put(folder: Path, columns: dict[str, Any]) -> None:
    """Write the graph's numbers, and an honest record of them: the record is not what must give it away."""
    table = {name: pa.array(column, None if name == "id" else pa.float32()) for name, column in columns.items()}
    pq.write_table(pa.table(table), folder / "onnx.parquet")
    test = PredictionTable.read(folder / "predictions.parquet").split("val_test", allowed=("val_test",))
    model_N3 = np.column_stack([test.numbers_N(name) for name in KEYS])
    graph_N3 = np.column_stack([np.asarray(columns[name], np.float32).astype(float) for name in KEYS])
    if model_N3.shape == graph_N3.shape:
        apart = float(np.abs(model_N3 - graph_N3).max())
        same = int(((model_N3[:, 1] > model_N3[:, 0]) == (graph_N3[:, 1] > graph_N3[:, 0])).sum())
        record(folder, images=len(graph_N3), max_logit_difference=apart, same_label=same)


def record(folder: Path, **changes: Any) -> None:
    path = folder / "agreement.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def moved(column: str, by: float, row: int = 0) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        columns = graph(folder)
        columns[column][row] += by
        put(folder, columns)

    return edit


def shorter(folder: Path) -> None:
    put(folder, {name: column[1:] for name, column in graph(folder).items()})


def other_order(folder: Path) -> None:
    put(folder, {name: column[::-1] for name, column in graph(folder).items()})


class TestAgreement:
    def test_what_predict_wrote_is_good(self, predictions: Path, policy: Any) -> None:
        check_agreement(predictions, policy)
        moved("logit_1", 5e-5)(predictions)
        check_agreement(predictions, policy)

    @pytest.mark.parametrize(
        ("edit", "match"),
        [
            (lambda f: (f / "agreement.json").unlink(), "agreement.json is missing"),
            (lambda f: (f / "onnx.parquet").unlink(), "onnx.parquet is missing"),
            (lambda f: (f / "onnx.parquet").write_bytes(b"x"), "does not give model.onnx's numbers"),
            (lambda f: record(f, max_logit_difference=0.5), "agreement.json says"),
            (lambda f: record(f, max_logit_difference=None), "agreement.json says"),
            (lambda f: record(f, same_label=0), "agreement.json says"),
            (lambda f: record(f, images=0), "agreement.json says"),
            (lambda f: record(f, tolerance=1.0), "agreement.json says"),
            (moved("logit_0", 0.1), "differs from the model by 0.1"),
            (moved("logit_1", -0.1, row=-1), "differs from the model by 0.1"),
            (moved("gate", 0.1), "differs from the model by 0.1"),
            (moved("gate", float("nan")), "says|differs"),
            (shorter, "about other images"),
            (other_order, "about other images"),
        ],
    )
    def test_an_agreement_that_is_absent_bad_or_not_shown_refuses(
        self, predictions: Path, policy: Any, edit: Callable[[Path], object], match: str
    ) -> None:
        edit(predictions)
        with pytest.raises(PromotionRefused, match=match):
            check_agreement(predictions, policy)

    def test_a_decision_that_differs_refuses_though_the_numbers_are_close(self, predictions: Path) -> None:
        """A threshold between the model's number and the graph's."""
        from tests.bundle.making import policy as softmax

        columns = graph(predictions)
        columns["logit_1"][0] += 5e-5
        put(predictions, columns)
        test = PredictionTable.read(predictions / "predictions.parquet").split("val_test", allowed=("val_test",))
        margin = float(test.logits_N2[0, 1] - test.logits_N2[0, 0])
        between = margin + 2.5e-5
        with pytest.raises(PromotionRefused, match="other decisions on 1 of"):
            check_agreement(predictions, softmax(negative_below=between - 1, positive_from=between))
        check_agreement(predictions, softmax(negative_below=between - 1, positive_from=between + 1e-3))


def resealed(folder: Path) -> Path:
    """step.json as if the step had written the folder so."""
    made = json.loads((folder / "step.json").read_bytes())
    write_record(
        folder, {key: made[key] for key in ("step", "config", "inputs", "fingerprint", "data_digest", "result")}
    )
    return folder


@pytest.mark.parametrize(
    ("made", "source"),
    [
        ("predictions", "manifest"),
        ("predictions", "model"),
        ("policies", "predictions"),
        ("evaluation", "predictions"),
        ("evaluation", "policies"),
        ("decision", "evaluation"),
    ],
)
def test_what_was_judged_in_another_run_does_not_ship(
    folders: dict[str, Path], tmp_path: Path, made: str, source: str
) -> None:
    """Stale predictions, metrics of another run, a policy that nobody evaluated: of the same data, all files whole."""
    folder = Path(shutil.copytree(folders[made], tmp_path / "other"))
    record = json.loads((folder / "step.json").read_bytes())
    assert source in record["inputs"]
    record["inputs"][source] = "0" * 64
    (folder / "step.json").write_text(json.dumps(record))
    with pytest.raises(PromotionRefused, match=f"{made} was not made from the given {source}"):
        export(**{**folders, made: folder}, out=tmp_path / "out", config=ExportConfig(store=str(tmp_path / "store")))
    assert not (tmp_path / "out").exists()


def test_no_bundle_is_made_of_a_graph_that_is_not_the_model(
    folders: dict[str, Path], predictions: Path, tmp_path: Path
) -> None:
    """predict, and everything after it, as if they had never looked at the graph."""
    moved("logit_0", 0.5)(predictions)
    digests = {"predictions": read_artifact(resealed(predictions), "predictions").digest}
    folders["predictions"] = predictions
    for name in ("policies", "evaluation", "decision"):
        folders[name] = Path(shutil.copytree(folders[name], tmp_path / name))
        made = json.loads((folders[name] / "step.json").read_bytes())
        made["inputs"] |= {source: digest for source, digest in digests.items() if source in made["inputs"]}
        (folders[name] / "step.json").write_text(json.dumps(made))
    with pytest.raises(PromotionRefused, match="differs from the model"):
        export(**folders, out=tmp_path / "out", config=ExportConfig(store=str(tmp_path / "store")))
    assert not (tmp_path / "out").exists()


def test_a_run_gives_a_whole_bundle_and_the_same_again(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STAGE1_SIGNING_KEY", raising=False)
    monkeypatch.delenv("STAGE1_CACHE", raising=False)
    config = ExportConfig(store=str(tmp_path / "store"), licence="Apache-2.0")
    contents = []
    for name in ("first", "second"):
        export(**folders, out=tmp_path / name, config=config)
        bundle = tmp_path / name / "bundle"
        contents.append({str(p.relative_to(bundle)): p.read_bytes() for p in sorted(bundle.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1]
    assert {"model.safetensors", "model.onnx", "model.json", "README.md", "bom.cdx.json", "reference.json"} <= set(
        contents[0]
    )
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(contents[0]["bom.cdx.json"].decode()) is None
    found = verify(tmp_path / "first" / "bundle")
    assert found.signature == "absent"
    origin = found.manifest.provenance
    assert {
        "run",
        "stage1",
        "code",
        "commit",
        "python",
        "libraries",
        "seed",
        "config",
        "digests",
        "data_digest",
    } <= set(origin)
    listed = {
        c["name"]: c["hashes"][0]["content"]
        for c in json.loads(contents[0]["bom.cdx.json"])["components"]
        if "hashes" in c
    }
    for file in ("model.onnx", "model.safetensors", found.manifest.policy_file):
        assert listed[file] == found.manifest.files[file].sha256


def test_a_key_in_the_environment_signs(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeyPair.make(tmp_path / "keys")
    config = ExportConfig(store=str(tmp_path / "store"))
    monkeypatch.setenv("STAGE1_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STAGE1_SIGNING_KEY", raising=False)
    unsigned = export(**folders, out=tmp_path / "unsigned", config=config)
    monkeypatch.setenv("STAGE1_SIGNING_KEY", keys.private.read_text())
    signed = export(**folders, out=tmp_path / "signed", config=config)
    assert signed.digest == unsigned.digest
    assert verify(tmp_path / "signed" / "bundle", keys.public).signature == "verified"
    assert not (tmp_path / "unsigned" / "bundle" / "bundle.sig").exists()
    monkeypatch.setenv("STAGE1_SIGNING_KEY", "nowhere.pem")
    with pytest.raises(BadInput, match=r"nowhere\.pem"):
        export(**folders, out=tmp_path / "bad", config=config)
