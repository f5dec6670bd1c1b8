"""The bundle of a whole run says how its answers were spread over val_test."""

from pathlib import Path

from stage1.bundle import Bundle
from stage1.data.predictions import PredictionTable


def test_export_writes_the_reference_from_val_test(walked: dict[str, Path]) -> None:
    bundle = Bundle.load(walked["export"] / "bundle")
    table = PredictionTable.read(walked["predict"] / "predictions.parquet").split("val_test", allowed=("val_test",))
    decided = bundle.policy.decide(table.logits_N2, table.numbers_N("gate"))
    reference = bundle.reference
    assert reference is not None
    assert reference.num_images == len(table.labels_N)
    assert reference.outcomes["defer"] == int((~decided.answered).sum())
    assert [path.name for path in walked["export"].iterdir() if path.is_file()] == ["step.json"]
