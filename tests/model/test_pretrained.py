"""timm networks as backbones: transformers and convolutions, weights from disk, and refusals that help.

test_vit and its like are timm's own miniatures: the real code at a fraction of the size.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stage1.errors import BadConfig, BadInput
from stage1.model.backbone import MEAN, STD, build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.files import Description, load_model, save_model
from stage1.model.masked import MaskedModel

# name, image size, pixels a cell
NETWORKS = [
    ("test_vit", 32, 16),
    ("vit_tiny_patch16_224", 48, 16),
    ("test_convnext", 64, 32),
    ("test_efficientnet", 64, 32),
    ("mobilevitv2_050", 64, 32),
]


def build(name: str, image_size: int = 32, weights: str = "") -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(kind="timm", name=name, weights=weights), image_size)


@pytest.fixture(scope="module")
def full_vit() -> Any:
    """The miniature transformer with its classifier of 1,000 classes, as a public checkpoint has it."""
    import timm

    torch.manual_seed(1)
    return timm.create_model("test_vit", img_size=32)


def same_weights(backbone: Any, full: Any) -> bool:
    found, given = backbone.trunk.state_dict(), full.state_dict()
    return all(torch.equal(tensor, given[name]) for name, tensor in found.items())


@pytest.mark.parametrize(("name", "image_size", "stride"), NETWORKS)
def test_any_timm_network_gives_a_map_of_cells_and_is_trained_masked(name: str, image_size: int, stride: int) -> None:
    backbone = build(name, image_size)
    cells = image_size // stride
    features = backbone.forward_map(torch.randn(2, 3, image_size, image_size))
    assert features.shape == (2, backbone.num_features, cells, cells)
    assert backbone.stride == stride
    assert torch.allclose(backbone.pool(features), features.flatten(2).mean(2), atol=1e-6)
    assert backbone.pool(features).shape == (2, backbone.num_pooled)
    masked = MaskedModel(backbone, patch_size=8, mask_ratio=0.5)
    result = masked(torch.randn(2, 3, image_size, image_size), torch.Generator().manual_seed(0))
    assert result.pixels_NCHW.shape == (2, 3, image_size, image_size)
    result.loss.backward()
    assert sum(float(parameter.grad.abs().sum()) for parameter in backbone.parameters() if parameter.grad is not None)


def test_a_network_sees_images_with_the_statistics_it_was_trained_with() -> None:
    """test_vit was trained with mean and deviation .5: what arrives at its trunk is (x - .5) / .5."""
    backbone = build("test_vit")
    seen: list[torch.Tensor] = []
    backbone.trunk.patch_embed.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    backbone.forward_map((pixels - mean) / std)
    assert torch.allclose(seen[0], (pixels - 0.5) / 0.5, atol=1e-5)


@pytest.mark.parametrize("kind", ["file", "pickled file", "folder"])
def test_weights_come_from_a_checkpoint_on_disk(tmp_path: Path, full_vit: Any, kind: str) -> None:
    path = tmp_path / ("vit.bin" if kind == "pickled file" else "model.safetensors")
    if kind == "pickled file":
        torch.save(full_vit.state_dict(), path)
    else:
        save_file(full_vit.state_dict(), path)
    assert not same_weights(build("test_vit"), full_vit)
    assert same_weights(build("test_vit", weights=str(tmp_path if kind == "folder" else path)), full_vit)


def test_a_saved_model_is_whole_without_the_checkpoint_it_came_from(tmp_path: Path, full_vit: Any) -> None:
    checkpoint = tmp_path / "vit.safetensors"
    save_file(full_vit.state_dict(), checkpoint)
    config = BackboneConfig(kind="timm", name="test_vit", weights=str(checkpoint))
    model = SelectiveClassifier(build_backbone(config, 32)).eval()
    save_model(tmp_path, model, Description(config, 32, {}))
    checkpoint.unlink()
    loaded, _ = load_model(tmp_path)
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(loaded(loaded.normalise(images)).logits_N2, model(model.normalise(images)).logits_N2)


@pytest.mark.parametrize("other", ["test_resnet", "test_vit2"])
def test_weights_of_another_network_are_refused(tmp_path: Path, other: str) -> None:
    import timm

    save_file(timm.create_model(other, num_classes=0).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match=r"'test_vit' could not be built with weights .*this architecture's weights"):
        build("test_vit", weights=str(tmp_path))
    build("test_vit")


@pytest.mark.parametrize("damage", ["truncated", "a script"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, full_vit: Any, damage: str) -> None:
    path = tmp_path / "model.safetensors"
    save_file(full_vit.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    if damage == "a script":
        path = tmp_path / "pytorch_model.bin"
        torch.save({"state_dict": Path("/")}, path)
    with pytest.raises(BadInput, match="could not be built"):
        build("test_vit", weights=str(path))


def test_a_path_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"neither a checkpoint file nor a folder with model\.safetensors"):
        build("test_vit", weights=str(tmp_path))


def test_an_unknown_name_is_answered_with_names_near_it() -> None:
    with pytest.raises(BadConfig, match=r"no model 'vit_smal_patch16_224'; near it: .*vit_small_patch16_224"):
        build("vit_smal_patch16_224")
    with pytest.raises(BadConfig, match=r"timm\.list_models\(\) lists all"):
        build("§§§")


def test_images_that_a_network_cannot_take_are_refused_with_their_size() -> None:
    with pytest.raises(BadConfig, match=r"'inception_v3' gives no feature map of images of 32 x 32 pixels"):
        build("inception_v3")


def test_without_a_network_the_hub_says_what_would_do_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        BadInput, match=r"with weights 'hub'.*'hub' and a network, a folder or file .* or '' for random"
    ):
        build("test_vit", weights="hub")


def test_an_architecture_without_public_weights_is_refused_when_they_are_asked_for() -> None:
    with pytest.raises(BadInput, match="with weights 'hub'"):
        build("test_vit4", weights="hub")
