"""Backbones and models on disk: exact, reproducible, and refused by file when they are not what they should be."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from stage1.errors import BadArtifact
from stage1.model.backbone import Backbone, build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.files import Description, load_backbone, load_model, save_backbone, save_model
from tests.model.small_backbones import IMAGE, KINDS, build, images

DESCRIPTION = Description(BackboneConfig(widths=(8, 16)), 16, {"class_names": ["clear", "roadwork"]})


def backbone(seed: int = 0, widths: tuple[int, ...] = (8, 16)) -> Backbone:
    torch.manual_seed(seed)
    return build_backbone(BackboneConfig(widths=widths), 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path, SelectiveClassifier(backbone()), DESCRIPTION)
    return tmp_path


def test_a_model_comes_back_bit_for_bit(folder: Path) -> None:
    given = SelectiveClassifier(backbone()).state_dict()
    torch.manual_seed(99)
    model, description = load_model(folder)
    assert description == DESCRIPTION
    assert not model.training
    found = model.state_dict()
    assert list(found) == list(given)
    assert all(torch.equal(tensor, given[name]) for name, tensor in found.items())


def test_a_backbone_comes_back_bit_for_bit(tmp_path: Path) -> None:
    given = backbone(seed=3)
    save_backbone(tmp_path, given, DESCRIPTION)
    torch.manual_seed(99)
    found, description = load_backbone(tmp_path)
    assert description == DESCRIPTION
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(found.forward_map(images), given.forward_map(images))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pooling", ["", "cls_mean"])
def test_a_transformer_comes_back_from_its_own_folder_alone(tmp_path: Path, name: str, pooling: str) -> None:
    """Neither the folder that its first weights came from nor a hub is asked again."""
    config = BackboneConfig(kind=name.split()[0], weights=str(tmp_path / "gone"), pooling=pooling)
    model = SelectiveClassifier(build(name, pooling=pooling)).eval()
    save_model(tmp_path, model, Description(config, IMAGE, {}))
    found, description = load_model(tmp_path)
    assert description.backbone.pooling == pooling
    assert type(found.backbone) is type(model.backbone)
    assert all(torch.equal(one, two) for one, two in zip(found(images()), model(images()), strict=True))
    save_backbone(tmp_path, cast(Backbone, found.backbone), description)
    again: Any = load_backbone(tmp_path)[0]
    assert torch.equal(again.eval().forward_pooled(images()), cast(Backbone, found.backbone).forward_pooled(images()))


def test_equal_models_are_equal_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save_model(other, load_model(folder)[0], DESCRIPTION)
    for name in ("model.safetensors", "model.json"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def _swap(folder: Path) -> None:
    save_model(folder, SelectiveClassifier(backbone(widths=(8, 24))), DESCRIPTION)


def _rewrite(folder: Path, **fields: object) -> None:
    record = json.loads((folder / "model.json").read_text()) | fields
    (folder / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncate, r"model\.safetensors does not fit"),
        (_swap, r"model\.safetensors does not fit"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), r"model\.safetensors does not fit"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"PK\x03\x04" * 99), r"model\.safetensors does not"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors is missing"),
        (lambda folder: (folder / "model.json").unlink(), r"has no model\.json"),
        (lambda folder: (folder / "model.json").write_text("{"), r"model\.json does not describe a model"),
        (lambda folder: (folder / "model.json").write_text("[]"), r"model\.json does not describe a model"),
        (lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe"), r"model\.json does not describe a model"),
        (lambda folder: _rewrite(folder, schema="stage1/backbone/v1"), r"not of schema stage1/model/v1"),
        (lambda folder: _rewrite(folder, backbone={"kind": "resnet"}), r"model\.json does not describe a model"),
        (lambda folder: _rewrite(folder, image_size="large"), r"model\.json does not describe a model"),
    ],
)
def test_a_folder_that_is_not_a_model_is_refused_by_file(
    folder: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(folder)
    with pytest.raises(BadArtifact, match=words):
        load_model(folder)


def test_a_model_is_no_backbone_and_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(BadArtifact, match=r"has no backbone\.json"):
        load_backbone(folder)
    with pytest.raises(BadArtifact, match=r"has no model\.json"):
        load_model(folder / "model.json")


def test_a_full_disk_is_an_os_error_that_a_step_explains(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        save_model(tmp_path, SelectiveClassifier(backbone()), DESCRIPTION)
    assert caught.value.errno == errno.ENOSPC
