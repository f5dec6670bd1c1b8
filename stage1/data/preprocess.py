"""The one definition of what a model sees: training, export and the consumer of a bundle all call Preprocessing.load.

Normalisation is inside the network, so the result is uint8 RGB. numpy and Pillow only: Pillow's resampling of 8-bit
pictures is fixed-point arithmetic, so the same bytes give the same array on every machine.

Shapes: S = image_size, H, W = height and width.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage1.data.decode import BACKGROUND, MAX_PIXELS, Source, decode
from stage1.errors import BadArtifact

_SCHEMA = "stage1/preprocessing/v1"


class Preprocessing(BaseModel):
    """How any picture becomes uint8 [S,S,3].

    Resizing keeps the whole field of view. The usual "shorter side, then centre crop" would throw away 44 % of a
    16:9 frame, its left and right, which is where road signs and cones stand. Of the two ways to keep
    everything, `squash` is the default: it spends every pixel on the scene, while `letterbox` gives 44 % of the square
    to bars and draws a far sign little more than half as high. Choose `letterbox` where cameras of different aspect
    ratio are mixed, so that one sign does not come in several shapes. A picture of S x S passes unchanged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(default=64, ge=8, le=2048, description="Side of the square the network sees, in pixels.")
    resize: Literal["squash", "letterbox"] = Field(
        default="squash",
        description="squash: both sides to image_size; letterbox: longer side to image_size, bars of `background`.",
    )
    background: int = Field(
        default=BACKGROUND, ge=0, le=255, description="Grey level behind transparent pixels and of letterbox bars."
    )
    max_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        le=MAX_PIXELS,
        description="Images with more pixels are refused before they are decoded.",
    )

    def load(self, source: Source, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return uint8 [S,S,3], RGB, writable and contiguous.

        Args:
            source: A path, the bytes of an image file, a Pillow image, or an array uint8 [H,W,3] RGB or [H,W] grey.
            out: uint8 [S,S,3], a row of a batch for one, to write to and return; None makes a new array.

        Raises:
            BadImage: With a `reason` of stage1.data.decode.REASONS.
        """
        image = decode(source, max_pixels=self.max_pixels, background=self.background)
        if out is None:
            return np.array(self._square(image), dtype=np.uint8)
        out[...] = np.asarray(self._square(image))
        return out

    def _square(self, image: Image.Image) -> Image.Image:
        size = self.image_size
        if image.size == (size, size):
            return image
        if self.resize == "squash":
            return image.resize((size, size), Image.Resampling.BICUBIC)
        longer = max(image.size)
        width, height = (max(1, (2 * side * size + longer) // (2 * longer)) for side in image.size)
        square = Image.new("RGB", (size, size), (self.background,) * 3)
        square.paste(
            image.resize((width, height), Image.Resampling.BICUBIC), ((size - width) // 2, (size - height) // 2)
        )
        return square

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that from_json reads back to an equal Preprocessing."""
        return {"schema": _SCHEMA, **self.model_dump()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what to_json wrote.

        Raises:
            BadArtifact: The object is of another schema, or a field is missing, unknown or out of range.
        """
        fields = dict(data)
        schema = fields.pop("schema", None)
        missing = sorted(set(cls.model_fields) - set(fields))
        if schema != _SCHEMA or missing:
            raise BadArtifact(f"Need preprocessing of schema {_SCHEMA}, got {schema!r}; missing fields: {missing}.")
        try:
            return cls(**fields)
        except ValidationError as error:
            raise BadArtifact(f"The preprocessing cannot be used: {error}") from error
