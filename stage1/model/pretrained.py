"""Any timm model as a backbone: by hub name, or from a checkpoint file or folder on disk.

timm takes 10 s to import, so it is imported when such a backbone is built and never by the demo.
"""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from stage1.errors import BadConfig, BadInput
from stage1.model.backbone import MEAN, STD


class TimmBackbone(nn.Module):
    """The feature map and pooled features of a timm model without its classifier.

    Args:
        name: timm's name of the architecture, with a tag where 'hub' weights are wanted.
        image_size: Side of the square images, in pixels.
        weights: 'hub', a checkpoint file, a folder that holds one, or '' for random weights.
    """

    def __init__(self, name: str, image_size: int, weights: str) -> None:
        super().__init__()
        self.trunk = _create(name, image_size, weights)
        self._take_own_statistics(cast(Any, self.trunk).pretrained_cfg)
        cells = self._probe(name, image_size)
        self.num_features, self.stride = cells.shape[1], image_size // cells.shape[-1]

    def forward_map(self, x_BCHW: Tensor) -> Tensor:
        """Return the last feature map [B, C, h, w] of normalised images."""
        features: list[Tensor] = cast(Any, self.trunk).forward_intermediates(
            x_BCHW * cast(Tensor, self.scale) + cast(Tensor, self.shift),
            indices=1, norm=True, output_fmt="NCHW", intermediates_only=True,
        )  # fmt: skip
        return features[-1]

    def pool(self, features_BChw: Tensor) -> Tensor:
        """Mean over the cells, [B, C]."""
        return features_BChw.mean((2, 3))

    @property
    def num_pooled(self) -> int:
        """Length of what `pool` returns."""
        return self.num_features

    def _take_own_statistics(self, trained_with: Mapping[str, Any]) -> None:
        """Bring images to the mean and deviation that these weights were trained with; many ViTs have 0.5 and 0.5."""
        mean, std = (_colour(trained_with.get(name, default)) for name, default in (("mean", MEAN), ("std", STD)))
        self.register_buffer("scale", _colour(STD) / std)
        self.register_buffer("shift", (_colour(MEAN) - mean) / std)

    def _probe(self, name: str, image_size: int) -> Tensor:
        """Run one empty image: only the map itself says how many channels and cells it has."""
        try:
            with torch.no_grad():
                return self.eval().forward_map(torch.zeros(1, 3, image_size, image_size))
        except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
            raise BadConfig(
                f"backbone.name: {name!r} gives no feature map of images of {image_size} x {image_size} pixels: "
                f"{_first_lines(error)} "
                "Choose another preprocessing.image_size (a multiple of the patch size) or another model."
            ) from error


def _colour(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)


def _create(name: str, image_size: int, weights: str) -> nn.Module:
    import timm

    if not timm.is_model(name.split(".")[0]):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), n=8)) or "timm.list_models() lists all"
        raise BadConfig(f"backbone.name: timm has no model {name!r}; near it: {near}.")
    options: dict[str, Any] = {"num_classes": 0}
    if weights == "hub":
        options["pretrained"] = True
    file = _weights_file(Path(weights)) if weights and weights != "hub" else None
    try:
        model: nn.Module = _sized(timm.create_model, name, image_size, options)
        if file:
            _fill(model, file)
    except Exception as error:  # the hub's client, pickle, safetensors and timm each raise their own
        raise BadInput(
            f"backbone {name!r} could not be built with weights {weights or 'at random'!r}: {_first_lines(error)} "
            "Needed: 'hub' and a network, a folder or file with this architecture's weights, or '' for random ones."
        ) from error
    return model


def _sized(create: Any, name: str, image_size: int, options: Mapping[str, Any]) -> Any:
    """Transformers are built for one image size and say so by an argument that convolutional networks do not have."""
    try:
        return create(name, img_size=image_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    return create(name, **options)


def _fill(model: nn.Module, path: Path) -> None:
    """Load a checkpoint into `model`, through the model family's own conversion of old layouts and other image sizes.

    A classifier in it is passed over. Weights of another network would fill nothing and leave this one as random as it
    was, so a single missing weight refuses them.
    """
    from timm.models import load_checkpoint

    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    missing = load_checkpoint(model, str(path), strict=False, filter_fn=convert).missing_keys
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(model.state_dict())} weights are not in it, the first is {missing[0]}"
        )


def _first_lines(error: Exception) -> str:
    """What went wrong without the hundreds of parameter names of a state dict that does not fit."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{' ...' if len(text) > 300 else ''}."


def _weights_file(path: Path) -> Path:
    """A checkpoint file, or the one weights file of a folder in timm's own layout."""
    if path.is_file():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise BadInput(
        f"backbone.weights: {path} is neither a checkpoint file nor a folder with model.safetensors or "
        "pytorch_model.bin. Give one of those, 'hub' to download, or '' to start from random weights."
    )
