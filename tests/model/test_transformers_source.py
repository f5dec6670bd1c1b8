"""DINOv3, DINOv2 and ViT of transformers from the library's own folders, and refusals that help."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stage1.errors import BadConfig
from stage1.model.backbone import MEAN, STD, build_backbone
from stage1.model.config import BackboneConfig
from tests.model.small_backbones import ARCHITECTURES, IMAGE, enlarge, images

CLASSES = {
    "transformers dinov3": ("DINOv3ViTConfig", "DINOv3ViTModel"),
    "transformers dinov2": ("Dinov2Config", "Dinov2Model"),
    "transformers dinov2, registers": ("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel"),
    "transformers vit": ("ViTConfig", "ViTForImageClassification"),
}


def build(weights: str = "", image_size: int = IMAGE, **fields: Any) -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(kind="transformers", weights=weights, **fields), image_size)


def saved(folder: Path, name: str, **changed: Any) -> Any:
    """Save a network as the library does and return it."""
    import transformers

    settings, model = (getattr(transformers, name) for name in CLASSES[name])
    torch.manual_seed(1)
    network = model(settings(**{**ARCHITECTURES[name], **changed})).eval()
    enlarge(network)
    network.save_pretrained(folder)
    return network


def tokens(network: Any, x_BCHW: torch.Tensor, **options: Any) -> torch.Tensor:
    found: torch.Tensor = getattr(network, "vit", network)(x_BCHW, **options).last_hidden_state
    return found


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_that_the_library_saved_is_the_librarys_network(tmp_path: Path, name: str) -> None:
    """A classifier in it is passed over; what is built again needs neither the folder nor a hub."""
    network = saved(tmp_path, name)
    backbone = build(str(tmp_path)).eval()
    x_BCHW = backbone.statistics(images())
    expected = tokens(network, x_BCHW)[:, backbone.num_prefix :].transpose(1, 2).flatten(2)
    assert expected.std() > 0.1
    assert (backbone.forward_map(images()).flatten(2) - expected).abs().max() < 1e-5
    shutil.rmtree(tmp_path)
    again = build(architecture=backbone.architecture)
    again.load_state_dict(backbone.state_dict())
    assert torch.equal(again.eval().forward_map(images()), backbone.forward_map(images()))
    assert str(tmp_path) not in json.dumps(backbone.architecture)


@pytest.mark.parametrize("name", CLASSES)
def test_another_image_size_is_what_the_library_makes_of_it(tmp_path: Path, name: str) -> None:
    """Saved for 32 pixels, used at 48: learned positions are interpolated once, by the library's own rule."""
    network = saved(tmp_path, name)
    backbone = build(str(tmp_path), image_size=48).eval()
    x_BCHW = images(size=48)
    options = {"interpolate_pos_encoding": True} if name == "transformers vit" else {}
    expected = tokens(network, backbone.statistics(x_BCHW), **options)[:, backbone.num_prefix :]
    found = backbone.forward_map(x_BCHW).flatten(2).transpose(1, 2)
    assert (found - expected).abs().max() < 1e-5
    again = build(architecture=backbone.architecture, image_size=48)
    again.load_state_dict(backbone.state_dict())


@pytest.mark.parametrize(
    ("name", "record", "mean", "std"),
    [
        ("transformers dinov3", None, MEAN, STD),
        ("transformers vit", None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("transformers vit", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4] * 3}, (0.1, 0.2, 0.3), (0.4,) * 3),
        ("transformers vit", {"do_normalize": False}, (0.0,) * 3, (1.0,) * 3),
    ],
)
def test_images_come_in_the_statistics_of_the_preprocessor_beside_the_weights(
    tmp_path: Path, name: str, record: Any, mean: Any, std: Any
) -> None:
    saved(tmp_path, name)
    if record:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(record))
    ours, theirs = ([torch.tensor(x).view(1, 3, 1, 1) for x in pair] for pair in ((MEAN, STD), (mean, std)))
    pixels = torch.rand(2, 3, 8, 8)
    found = build(str(tmp_path)).statistics((pixels - ours[0]) / ours[1])
    assert torch.allclose(found, (pixels - theirs[0]) / theirs[1], atol=1e-5)


def test_weights_stored_in_half_precision_train_in_single(tmp_path: Path) -> None:
    network = saved(tmp_path, "transformers dinov3")
    network.to(torch.bfloat16).save_pretrained(tmp_path)
    backbone = build(str(tmp_path))
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
    assert torch.equal(backbone.trunk.norm.weight, network.norm.weight.float())


def _drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _edit(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop_weights, r"could not be built with weights .*model\.safetensors"),
        (_truncate, "could not be built with weights .*Safetensor"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "could not be built with weights"),
        (lambda folder: (folder / "config.json").unlink(), r"is no folder with config\.json and model\.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "could not be built with weights"),
        (lambda folder: _edit(folder, model_type="resnet"), r"model_type 'resnet' is none of dinov3_vit, dinov2"),
        (lambda folder: _edit(folder, model_type="dinov2"), r"\d+ of \d+ weights are not in it, the first is embed"),
        (lambda folder: _edit(folder, num_hidden_layers=3), r"weights are not in it, the first is model\.layer\.2"),
        (lambda folder: _edit(folder, hidden_size=64), r"weights have another size, the first is .*32.*64"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), r"preprocessor_config\.json of .* no J"),
    ],
)
def test_a_folder_that_is_not_a_network_is_refused(
    tmp_path: Path, damage: Any, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library itself only warns of weights that are missing, and starts at random."""
    saved(tmp_path, "transformers dinov3")
    damage(tmp_path)
    capfd.readouterr()
    with pytest.raises(BadConfig, match=words) as caught:
        build(str(tmp_path))
    assert len(str(caught.value)) < 900
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"architecture": {"model_type": "dinov3_vit", "hiden_size": 8}},
            r"no field 'hiden_size'; near it: hidden_size",
        ),
        ({"architecture": {"model_type": "dinov3"}}, r"model_type 'dinov3' is none of dinov3_vit"),
        ({"architecture": {"architecture": "test_vit"}}, "For a timm model use kind 'timm'"),
        ({"architecture": {"model_type": "vit", "hidden_act": "gone"}}, "of model_type 'vit' could not be built"),
        ({"architecture": ARCHITECTURES["transformers vit"], "image_size": 36}, "Use 32 or 40"),
        ({"architecture": ARCHITECTURES["transformers vit"], "image_size": 4}, "Use 8 or 16"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        build(**fields)


def test_an_unknown_name_is_answered_with_public_ones_near_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadConfig, match=r"near this name: .*facebook/dinov3-vits16-pretrain-lvd1689m"):
        build("hub", name="facebook/dinov3-vits16-pretrain")
    with pytest.raises(BadConfig, match=r"with weights 'hub'.*'hub' and a network, a folder or file"):
        build("hub", name="facebook/dinov3-vits16-pretrain-lvd1689m")
