"""A promoted bundle as an MLflow model: `mlflow.pyfunc.load_model("models:/stage1@prod").predict(images)`.

What MLflow holds is a few hundred bytes that name the bundle by its digest. The bundle itself is read from its store
and verified when the model is loaded, as by any other consumer; no code comes out of MLflow. Where $STAGE1_PUBLIC_KEY
is set, the bundle must be signed with that key.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stage1.bundle import Bundle
from stage1.bundle.keys import public_key_from
from stage1.errors import BadInput

ORIGIN = "origin.json"
_COLUMN = "image"


class Model:
    """What MLflow wraps."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return a DataFrame, a row an image: answer, label (None: deferred), label_set, probability, confidence.

        Args:
            model_input: A list or Series of images (bytes of a file, a path, a Pillow image, uint8 [H,W,3]), or a
                DataFrame whose only column, or whose column `image`, holds them.
            params: MLflow passes them; there are none.

        Raises:
            BadInput: The images cannot be told from the input, or params are given.
            BadImage: One cannot be decoded; the message says which.
        """
        import pandas as pd  # MLflow brings it

        if params:
            raise BadInput(f"This model takes no params, got {', '.join(params)}.")
        fields = ("answer", "label", "label_set", "probability", "confidence")
        answers = self.bundle.decide(_images(model_input))
        return pd.DataFrame({name: [getattr(answer, name) for answer in answers] for name in fields})


def _images(model_input: Any) -> Iterable[Any]:
    columns = getattr(model_input, "columns", None)
    if columns is None:
        return list(model_input)
    if _COLUMN not in columns and len(columns) != 1:
        raise BadInput(f"Need a column {_COLUMN!r} or one column, got {', '.join(map(str, columns))[:200] or 'none'}.")
    images: list[Any] = model_input[_COLUMN if _COLUMN in columns else columns[0]].tolist()
    return images


def _load_pyfunc(path: str) -> Model:
    """Called by mlflow.pyfunc with the folder that stage1.tracking wrote.

    Raises:
        BundleRejected: The bundle fails a check, or is not where it was promoted to.
    """
    origin = json.loads((Path(path) / ORIGIN).read_text(encoding="utf-8"))
    return Model(Bundle.load(origin["bundle"], public_key_from()))
