"""Write the shipped graph as ONNX: uint8 images in, logits and gate logit out, any batch size."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch

from stage1.model.classifier import SelectiveClassifier, Shipped

OPSET = 20


def export_onnx(model: SelectiveClassifier, image_size: int, path: Path) -> None:
    """Export `model` for square images of `image_size` pixels; weights are inside the file. Silent.

    Input `images` uint8 [N, S, S, 3]; outputs `logits` float32 [N, 2] and `gate` float32 [N]. Equal models give equal
    bytes on any machine: the exporter's notes (source lines and paths of the machine that ran it) are left out.
    """
    images = torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            Shipped(model).eval(),
            (images,),
            input_names=["images"],
            output_names=["logits", "gate"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    path.write_bytes(_without_notes(program.model_proto))


def _without_notes(proto: Any) -> bytes:
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
