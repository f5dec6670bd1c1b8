"""model.onnx in onnxruntime: built from bytes, told what it must look like, closed to the file system.

Shapes: N images, S = image_size.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stage1.errors import BundleRejected

_SILENT = 4
_NO_FOLDER = f"{os.devnull}/none"
_INPUTS = [("images", "tensor(uint8)", 4)]
_OUTPUTS = [("logits", "tensor(float)", 2), ("gate", "tensor(float)", 1)]


class Network:
    """uint8 images in, logits and gate logit out. Safe for concurrent calls, as onnxruntime sessions are."""

    def __init__(self, model: bytes) -> None:
        """Build the session.

        Raises:
            BundleRejected: onnxruntime cannot use the bytes, they refer to weights outside of themselves, or inputs or
                outputs are not those of a stage1 model.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _SILENT
        # External weights would be read from disk unverified; below a folder that cannot exist there are none.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NO_FOLDER)
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common base
            raise BundleRejected(f"model.onnx cannot be used: {str(error)[:500]}") from error
        inputs = [(x.name, x.type, len(x.shape)) for x in self._session.get_inputs()]
        outputs = [(x.name, x.type, len(x.shape)) for x in self._session.get_outputs()]
        if inputs != _INPUTS or sorted(outputs) != sorted(_OUTPUTS):
            raise BundleRejected(f"model.onnx needs {_INPUTS} and {_OUTPUTS}, it has {inputs} and {outputs}.")

    def __call__(self, images_NSS3: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return logits [N,2] and gate logit [N]; both may hold NaN, which the caller judges.

        Raises:
            BundleRejected: The model cannot take these images, or answers in another shape.
        """
        num_images = len(images_NSS3)
        try:
            logits, gate = self._session.run(["logits", "gate"], {"images": images_NSS3})
        except Exception as error:  # as above
            raise BundleRejected(
                f"model.onnx failed on images of shape {images_NSS3.shape}: {str(error)[:500]}"
            ) from error
        if logits.shape != (num_images, 2) or gate.shape != (num_images,):
            raise BundleRejected(
                f"model.onnx answered {num_images} images with shapes {logits.shape} and {gate.shape}."
            )
        return logits.astype(np.float64), gate.astype(np.float64)
