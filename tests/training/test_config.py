"""Training configuration: defaults that hold together and refusals that name the field."""

from typing import Any

import pytest
from pydantic import ValidationError

from stage1.training import PretrainConfig, TrainConfig


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (TrainConfig, {"phases": []}, "at least 1"),
        (TrainConfig, {"phases": [{"loss": "hinge", "epochs": 1}]}, "'ce', 'selective' or 'crc'"),
        (TrainConfig, {"phases": [{"loss": "ce", "epochs": 0}]}, "greater than or equal to 1"),
        (TrainConfig, {"phases": [{"loss": "selective", "epochs": 1}], "selective_share": 1}, "aux head untrained"),
        (TrainConfig, {"ema_decay": 1}, "less than 1"),
        (TrainConfig, {"learning_rate": 1e-3}, "learning_rate"),
        (TrainConfig, {"seed": 2**63}, "seed"),
        (TrainConfig, {"optimiser": {"backbone_scale": -0.1}}, "backbone_scale"),
        (PretrainConfig, {"mask_patch": 64}, r"mask_patch must be smaller than preprocessing\.image_size 64, got 64"),
        (PretrainConfig, {"mask_ratio": 1}, "mask_ratio"),
    ],
)
def test_what_cannot_be_trained_is_refused(kind: type[TrainConfig], fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind.model_validate(fields)


def test_epochs_are_those_of_all_phases() -> None:
    phases = [{"loss": "ce", "epochs": 3}, {"loss": "selective", "epochs": 2}]
    assert TrainConfig.model_validate({"phases": phases}).epochs == 5
