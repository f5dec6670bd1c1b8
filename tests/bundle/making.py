"""Small real bundles: a network that looks at an image's mean colour, a policy, a decision of the gate itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

from stage1.bundle import Bundle, CanaryImage, write_bundle
from stage1.data.preprocess import Preprocessing
from stage1.policy import Constraint, Evidence, SoftmaxPolicy
from stage1.policy.artifact import dumps
from stage1.promotion import GateConfig, gate
from tests.promotion.candidates import MODEL, Candidate

CLASSES = ("nothing", "roadwork")
GREY, RED, BLUE = (128, 128, 128), (250, 10, 10), (10, 10, 250)


def network(scale: float = 8.0, *, gate_value: float = 3.0) -> onnx.ModelProto:
    """z0 = scale * mean blue, z1 = scale * mean red (both in [0, 1]), gate = a constant."""
    weight = np.array([[0, scale], [0, 0], [scale, 0]], np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["unit"]),
        helper.make_node("ReduceMean", ["unit"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colour", "weight"], ["logits"]),
        helper.make_node("ReduceSum", ["logits", "last"], ["summed"], keepdims=0),
        helper.make_node("Mul", ["summed", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "sure"], ["gate"]),
    ]
    constants = {
        "white": np.float32(255),
        "weight": weight,
        "last": np.array([1], np.int64),
        "zero": np.float32(0),
        "sure": np.float32(gate_value),
    }
    graph = helper.make_graph(
        nodes,
        "mean_colour",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("gate", TensorProto.FLOAT, ["N"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def policy(**changes: Any) -> SoftmaxPolicy:
    """Exit as nothing below a margin of -1, as roadwork from 1 on, defer between."""
    evidence = Evidence(
        images=1000,
        positives=500,
        answered=900,
        answered_positives=450,
        misses=1,
        fnr_upper=0.0105,
        answered_negatives=450,
        false_alarms=2,
        fpr_upper=0.014,
        design_effect=1.0,
        pass_probability=0.95,
        bound_by="certificate",
    )
    fields: dict[str, Any] = {
        "constraint": Constraint(),
        "feasible": True,
        "reason": "",
        "promise": "FNR <= 2 %",
        "evidence": evidence,
        "negative_below": -1.0,
        "positive_from": 1.0,
    }
    return SoftmaxPolicy(**(fields | changes))


def weights(value: float = 1.5) -> bytes:
    """A model.safetensors with every kind of number."""
    return bytes(
        save(
            {
                "float": np.full((5, 3), value, np.float32),
                "half": np.full(3, value, np.float16),
                "double": np.full(7, value),
                "count": np.array([3], np.int64),
                "nothing": np.empty(0, np.float32),
            }
        )
    )


@dataclass(frozen=True)
class KeyPair:
    """Two files, as openssl writes them."""

    private: Path
    public: Path

    @classmethod
    def make(cls, folder: Path, curve: ec.EllipticCurve | None = None) -> "KeyPair":
        """Make a new pair in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(curve or ec.SECP256R1())
        pair = cls(folder / "signing.pem", folder / "signing.pub.pem")
        pair.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return pair


def picture(colour: tuple[int, int, int], size: int = 20) -> NDArray[np.uint8]:
    return np.full((size, size, 3), colour, np.uint8)


def expected_logits(colour: tuple[int, int, int], scale: float = 8.0) -> tuple[float, float]:
    return (scale * colour[2] / 255, scale * colour[0] / 255)


def decision(**changes: Any) -> dict[str, Any]:
    """A promotion by the real gate, without a champion."""
    return {**gate(Candidate(champion_augrc=None).metrics(), GateConfig()).to_json(), **changes}


def champion(digest: str, sequence: int) -> dict[str, Any]:
    return {"digest": digest, "sequence": sequence}


@dataclass
class Maker:
    """Writes bundles below one folder; keyword arguments replace those of write_bundle."""

    folder: Path
    made: int = 0

    def arguments(self, **changes: Any) -> dict[str, Any]:
        self.made += 1
        sources = self.folder / f"sources{self.made}"
        sources.mkdir(parents=True)
        (sources / "model.onnx").write_bytes(network().SerializeToString())
        (sources / "thresholds.json").write_text(dumps(policy()))
        (sources / "model.safetensors").write_bytes(weights())
        canaries = []
        for index, colour in enumerate((RED, BLUE, GREY)):
            Image.fromarray(picture(colour)).save(sources / f"{index}.png")
            canaries.append(CanaryImage(sources / f"{index}.png", expected_logits(colour), 3.0))
        return {
            "name": "colours",
            "version": "1",
            "sequence": 1,
            "classes": CLASSES,
            "model": sources / "model.onnx",
            "policy": sources / "thresholds.json",
            "preprocessing": Preprocessing(image_size=16),
            "decision": decision(),
            "provenance": {"model_digest": MODEL, "note": "made by a test"},
            "model_card": "# Colours\n",
            "canaries": canaries,
            "files": {"model.safetensors": sources / "model.safetensors"},
        } | changes

    def __call__(self, **changes: Any) -> Bundle:
        arguments = self.arguments(**changes)
        return write_bundle(self.folder / f"bundle{self.made}", **arguments)

    def path(self, **changes: Any) -> Path:
        self(**changes)
        return self.folder / f"bundle{self.made}"


Edit = Callable[[Path], object]
