"""Pictures inside the page: checked, shrunk to a budget, and written as data URIs."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

from stage1.report.markup import Markup, el

_KINDS = {"JPEG": "image/jpeg", "PNG": "image/png"}
_MOST_PIXELS = 40_000_000


@dataclass(frozen=True)
class Picture:
    """An embedded picture and its size in pixels."""

    uri: str
    width: int
    height: int

    def img(self, description: str) -> Markup:
        """Return the img element; the description is what someone reads who does not see it."""
        return el("img", src=self.uri, width=self.width, height=self.height, alt=description)


def embed(content: bytes | None, *, max_bytes: int, max_side: int) -> Picture | None:
    """Turn image bytes into a picture for the page, re-encoding one that is too large.

    Args:
        content: JPEG or PNG bytes, or None.
        max_bytes: Largest file to embed as it is; larger ones are shrunk until they fit.
        max_side: Longest side in pixels after shrinking.

    Returns:
        The picture, or None when there is none or it cannot be read.
    """
    if content is None:
        return None
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = _KINDS.get(image.format or "")
            if image.width * image.height > _MOST_PIXELS:
                return None
            image.load()
            if kind is not None and len(content) <= max_bytes:
                return Picture(_uri(kind, content), image.width, image.height)
            return _shrunk(image.convert("RGB"), max_bytes, max_side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _shrunk(image: Image.Image, max_bytes: int, max_side: int) -> Picture | None:
    while max_side >= 16:
        image.thumbnail((max_side, max_side))
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=80)
        if encoded.tell() <= max_bytes:
            return Picture(_uri("image/jpeg", encoded.getvalue()), image.width, image.height)
        max_side = max_side * 3 // 4
    return None


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
