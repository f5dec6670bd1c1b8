"""timm networks by name, from a checkpoint and from timm's own folders, and refusals that help.

test_vit and its like are timm's own miniatures: the real code at a fraction of the size.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from stage1.errors import BadConfig
from stage1.model.backbone import MEAN, STD, build_backbone
from stage1.model.config import BackboneConfig
from tests.model.small_backbones import IMAGE, config, enlarge, images, library_tokens


def build(name: str = "", weights: str = "", **fields: Any) -> Any:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(kind="timm", name=name, weights=weights, **fields), IMAGE)


@pytest.fixture(scope="module")
def full_vit() -> Any:
    """The miniature transformer with its classifier of 1,000 classes, as a public checkpoint has it."""
    import timm

    torch.manual_seed(1)
    return timm.create_model("test_vit", img_size=IMAGE)


@pytest.fixture(scope="module")
def dinov3() -> Any:
    """A DINOv3 of timm with weights of its own, two blocks of 32 channels, as it comes from training elsewhere."""
    import timm

    torch.manual_seed(1)
    args = config("timm dinov3").architecture["model_args"]
    model = timm.create_model("vit_small_patch16_dinov3", img_size=IMAGE, num_classes=3, **args)
    enlarge(model)
    return model.eval()


@pytest.fixture
def folder(tmp_path: Path, dinov3: Any) -> Path:
    """What timm's `save_for_hf` writes, which is what timm reads as local-dir: and its hub serves."""
    from timm.models import save_for_hf

    save_for_hf(dinov3, str(tmp_path), safe_serialization=True)
    return tmp_path


def same_weights(backbone: Any, full: Any) -> bool:
    found, given = backbone.trunk.state_dict(), full.state_dict()
    return all(torch.equal(tensor, given[name]) for name, tensor in found.items())


def test_a_network_sees_images_with_the_statistics_it_was_trained_with() -> None:
    """test_vit was trained with mean and deviation .5: what arrives at its trunk is (x - .5) / .5."""
    backbone = build("test_vit")
    seen: list[torch.Tensor] = []
    backbone.trunk.patch_embed.proj.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, IMAGE, IMAGE)
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


@pytest.mark.parametrize("name", ["", "vit_small_patch16_dinov3"])
def test_timms_own_folder_says_what_it_is(folder: Path, dinov3: Any, name: str) -> None:
    """Its config.json has the architecture and what was changed of it; a name may be given too."""
    backbone = build(name, weights=str(folder)).eval()
    assert same_weights(backbone, dinov3)
    assert len(backbone.block_names) == 2
    expected = dinov3.forward_features(images())
    assert torch.allclose(library_tokens(backbone, images()), expected, atol=1e-6)
    shutil.rmtree(folder)
    again = build(name, architecture=backbone.architecture)
    assert list(again.state_dict()) == list(backbone.state_dict())


def test_a_folders_statistics_are_taken(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text())
    record["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps(record))
    mean, std, own = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD, [0.1, 0.2, 0.3]))
    pixels = torch.rand(2, 3, 8, 8)
    found = build(weights=str(folder)).statistics((pixels - mean) / std)
    assert torch.allclose(found, (pixels - own) / torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1), atol=1e-5)


def test_learned_positions_are_brought_to_the_image_size(tmp_path: Path) -> None:
    """A ViT saved at 64 pixels starts at 32 with 4 x 4 positions made of its 8 x 8, as timm makes them."""
    import timm
    from timm.layers import resample_abs_pos_embed  # type: ignore[attr-defined]
    from timm.models import save_for_hf

    args = config("timm vit").architecture["model_args"]
    large = timm.create_model("vit_small_patch16_224", img_size=64, num_classes=0, **args)
    save_for_hf(large, str(tmp_path), safe_serialization=True)
    found = build(weights=str(tmp_path)).trunk.pos_embed
    assert torch.allclose(found, resample_abs_pos_embed(large.pos_embed, (4, 4), num_prefix_tokens=1), atol=1e-6)


@pytest.mark.parametrize("other", ["test_resnet", "test_vit2"])
def test_weights_of_another_network_are_refused(tmp_path: Path, other: str) -> None:
    import timm

    save_file(timm.create_model(other, num_classes=0).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(BadConfig, match=r"'test_vit' could not be built with weights .*this architecture's weights"):
        build("test_vit", weights=str(tmp_path))
    build("test_vit")


def test_a_folder_of_another_network_than_the_name_is_refused(folder: Path) -> None:
    with pytest.raises(BadConfig, match=r"name is 'test_vit', but .* holds a vit_small_patch16_dinov3\. Leave"):
        build("test_vit", weights=str(folder))


@pytest.mark.parametrize("damage", ["truncated", "empty", "a script", "no json", "other json", "of transformers"])
def test_damaged_weights_are_refused(folder: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    words = "could not be built"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "a script":
        path.unlink()
        torch.save({"state_dict": Path("/")}, folder / "pytorch_model.bin")
    else:
        text, words = {
            "no json": ("{", "config.json is no JSON"),
            "other json": ("{}", "names no timm architecture"),
            "of transformers": ('{"model_type": "vit"}', r"saved by transformers \(model_type 'vit'\).*kind 'transfor"),
        }[damage]
        (folder / "config.json").write_text(text)
    with pytest.raises(BadConfig, match=words):
        build(weights=str(folder))


def test_a_path_that_holds_no_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadConfig, match=r"neither a checkpoint file nor a folder with model\.safetensors"):
        build(weights=str(folder))


def test_an_unknown_name_is_answered_with_names_near_it() -> None:
    with pytest.raises(BadConfig, match=r"no model 'vit_smal_patch16_224'; near it: .*vit_small_patch16_224"):
        build("vit_smal_patch16_224")
    with pytest.raises(BadConfig, match=r"timm\.list_models\(\) lists all"):
        build("§§§")
    with pytest.raises(BadConfig, match=r"hf-hub:owner/name, or to kind 'transformers'"):
        build("facebook/dinov3-vits16-pretrain-lvd1689m")


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained", "cache_dir"])
def test_an_architecture_reads_no_files(key: str) -> None:
    with pytest.raises(BadConfig, match=rf"model_args may not have '{key}'"):
        build(architecture={"architecture": "test_vit", "model_args": {key: "x"}})


def test_arguments_that_a_network_does_not_have_are_refused() -> None:
    with pytest.raises(BadConfig, match=r"'test_vit' could not be built .*deepness"):
        build(architecture={"architecture": "test_vit", "model_args": {"deepness": 2}})


def test_without_a_network_the_hub_says_what_would_do_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("test_vit", "hf-hub:timm/test_vit.r160_in1k"):
        with pytest.raises(
            BadConfig, match=r"with weights 'hub'.*'hub' and a network, a folder or file .* or '' for random"
        ):
            build(name, weights="hub")


def test_an_architecture_without_public_weights_is_refused_when_they_are_asked_for() -> None:
    with pytest.raises(BadConfig, match="with weights 'hub'"):
        build("test_vit4", weights="hub")
