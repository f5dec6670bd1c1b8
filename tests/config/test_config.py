"""Composition of the configuration, and what it refuses."""

import pytest

from stage1.config import PRESETS, Config
from stage1.errors import BadConfig


@pytest.mark.parametrize("preset", ["", *PRESETS])
def test_what_is_printed_reads_back_as_the_same(preset: str) -> None:
    composed = Config.compose(preset)
    assert Config.compose("", composed.to_yaml()) == composed


def test_later_sources_win() -> None:
    text = "train: {batch_size: 20}\nseed: 4\n"
    composed = Config.compose("demo", text, ["train.batch_size=10"])
    assert composed.train.batch_size == 10
    assert composed.seed == 4
    assert composed.split.fractions.val_test == 0.15


def test_what_is_shared_flows_into_sections_that_do_not_say_otherwise() -> None:
    composed = Config.compose(
        "", "seed: 7\nchannel: prod\nconstraint: {max_fnr: 0.05, confidence: 0.9}\ntrain: {seed: 1}\n"
    )
    assert (composed.pretrain.seed, composed.train.seed, composed.evaluate.seed, composed.calibrate.scrc.seed) == (
        7,
        1,
        7,
        7,
    )
    assert {composed.predict.channel, composed.gate.channel, composed.promote.channel, composed.export.channel} == {
        "prod"
    }
    assert composed.calibrate.constraint == composed.gate.constraint == composed.constraint
    assert (composed.split.max_fnr, composed.split.confidence, composed.evaluate.confidence) == (0.05, 0.9, 0.9)


def test_an_override_of_part_of_what_is_shared_keeps_the_rest() -> None:
    composed = Config.compose("", "constraint: {max_fnr: 0.05}", ["calibrate.constraint.max_fnr=0.01"])
    assert composed.calibrate.constraint.max_fnr == 0.01
    assert composed.gate.constraint.max_fnr == 0.05


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("", ["train.batchsize=3"], ["train.batchsize", "no such field", "batch_size"]),
        ("", ["trian.batch_size=3"], ["trian", "no such field", "train"]),
        ("", ["train.batch_size=many"], ["train.batch_size", "integer", "many"]),
        ("", ["train.batch_size=0"], ["train.batch_size", "greater than or equal to 2"]),
        ("", ["calibrate.exit_policy=magic"], ["calibrate.exit_policy", "softmax", "best", "magic"]),
        ("", ["train.phases=[{loss: hinge, epochs: 1}]"], ["train.phases.0.loss", "selective"]),
        ("", ["split.fractions.train=0.9"], ["split.fractions", "sum to 1"]),
        ("", ["train"], ["section.field=value"]),
        ("", ["seed=1", "seed.x=2"], ["seed", "no fields"]),
        ("- a\n- b\n", [], ["mapping", "list"]),
        ("train: {batch_size: [", [], ["not YAML"]),
        ("pretrain: {backbone: {kind: timm}}", [], ["needs a name"]),
        ("", ["pretrain.method=explora"], ["pretrain", "no transformer blocks", "'full'"]),
        ("", ["train.adapter.kind=dora"], ["'dora' needs transformer blocks", "'convnet'", "'none' only"]),
        ("", ["train.adapter={kind: lora, blocks: [0], last_blocks: 1}"], ["train.adapter", "both say which blocks"]),
        ("", ["pretrain.decoder.width=48"], ["pretrain.decoder.width", "multiple of 32", "48"]),
    ],
)
def test_nonsense_is_refused_by_field_with_what_is_allowed(text: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(BadConfig) as caught:
        Config.compose("", text, overrides)
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(BadConfig, match="demo, full"):
        Config.compose("hyper")


def test_every_field_is_described() -> None:
    undescribed = []

    def look(model: type, path: str) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                look(inner, f"{path}{name}.")
            elif not field.description:
                undescribed.append(path + name)

    look(Config, "")
    assert undescribed == []
