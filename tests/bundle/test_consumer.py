"""Asking a bundle."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from stage1 import bundle as room
from stage1.bundle import Answer, Bundle, BundleRejected
from stage1.errors import BadImage, BadInput
from tests.bundle.making import BLUE, CLASSES, GREY, RED, Maker, expected_logits, network, picture, policy


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_public_names() -> None:
    names = ["Answer", "Bundle", "BundleRejected", "CanaryImage", "Channel", "Entry", "Manifest", "Pointer", "Promoted"]
    names += ["SigningKey", "Verified", "promote", "read_signing_key", "record_look", "rollback", "sign"]
    names += ["signing_key_from", "verify", "write_bundle"]
    assert room.__all__ == names
    assert all(hasattr(room, name) for name in names)


def test_answers_are_those_of_the_policy(make: Maker) -> None:
    red, blue, grey = make().decide([picture(RED), picture(BLUE), picture(GREY)])
    margin = 8 * 240 / 255
    assert (red.answer, red.label, red.label_set) == ("exit", "roadwork", ("roadwork",))
    assert (blue.answer, blue.label, blue.label_set) == ("exit", "nothing", ("nothing",))
    assert (grey.answer, grey.label, grey.label_set) == ("defer", None, CLASSES)
    assert red.probability == pytest.approx(sigmoid(margin), abs=1e-6)
    assert blue.probability == pytest.approx(sigmoid(-margin), abs=1e-6)
    assert grey.probability == pytest.approx(0.5, abs=1e-6)
    assert (red.confidence, blue.confidence, grey.confidence) == pytest.approx((margin, margin, 0), abs=1e-5)


def test_an_answer_cannot_be_changed(make: Maker) -> None:
    (answer,) = make().decide([picture(RED)])
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.label = "nothing"  # type: ignore[misc]


def test_every_kind_of_image_gets_the_same_answer(make: Maker, tmp_path: Path) -> None:
    bundle = make()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    answers = bundle.decide([str(path), path, path.read_bytes(), Image.open(path), pixels])
    assert len(answers) == 5
    assert len(set(answers)) == 1


def test_a_batch_says_what_its_images_say_alone(make: Maker) -> None:
    bundle = make()
    random = np.random.default_rng(1)
    images = [picture(tuple(random.integers(0, 256, 3))) for _ in range(70)]  # type: ignore[arg-type]
    alone = [answer for image in images for answer in bundle.decide([image])]
    assert {answer.answer for answer in alone} == {"exit", "defer"}
    for size in (1, 7, 32, 70, 100):
        together = bundle.decide(iter(images), batch_size=size)
        assert [(a.answer, a.label, a.label_set) for a in together] == [(a.answer, a.label, a.label_set) for a in alone]
        assert [a.probability for a in together] == pytest.approx([a.probability for a in alone], abs=1e-5)
    assert bundle.decide(images, batch_size=1) == alone


def test_threads_get_their_own_answers(make: Maker) -> None:
    bundle = make()
    colours = [(index, 0, 255 - index) for index in range(0, 256, 8)]
    expected = {colour: bundle.decide([picture(colour)] * 3) for colour in colours}

    def ask(colour: tuple[int, int, int]) -> bool:
        return all(bundle.decide([picture(colour)] * 3) == expected[colour] for _ in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, colours * 2))


def test_score_gives_the_numbers_before_the_policy(make: Maker) -> None:
    logits_N2, gate_N = make().score([picture(RED), picture(BLUE)], batch_size=1)
    assert logits_N2 == pytest.approx(np.array([expected_logits(RED), expected_logits(BLUE)]), abs=1e-5)
    assert gate_N.tolist() == [3.0, 3.0]


def test_no_images_get_no_answers(make: Maker) -> None:
    bundle = make()
    assert bundle.decide([]) == []
    assert [part.shape for part in bundle.score([])] == [(0, 2), (0,)]


@pytest.mark.parametrize("one", ["a.png", Path("a.png"), b"x", picture(RED), Image.fromarray(picture(RED))])
def test_one_image_instead_of_a_list_is_said(make: Maker, one: Any) -> None:
    with pytest.raises(BadInput, match="list of images"):
        make().decide(one)


def test_a_batch_size_of_nothing_is_bad_input(make: Maker) -> None:
    with pytest.raises(BadInput, match="at least 1"):
        make().decide([picture(RED)], batch_size=0)


def test_a_bad_image_is_named_by_its_place(make: Maker) -> None:
    with pytest.raises(BadImage, match="Image 1: ") as caught:
        make().decide([picture(RED), b"no image", picture(RED)])
    assert caught.value.reason == "not_an_image"


def test_what_the_bundle_is_can_be_asked(make: Maker) -> None:
    bundle = make(version="7", sequence=5)
    assert (bundle.manifest.name, bundle.manifest.version, bundle.manifest.sequence) == ("colours", "7", 5)
    assert bundle.policy == policy()
    assert bundle.policy_name == "softmax"
    assert bundle.digest == bundle.manifest.digest


def test_an_image_without_a_finite_number_is_deferred(make: Maker) -> None:
    broken = network()
    divide = helper.make_node("Div", ["loud", "mean"], ["logits"])  # 0 / 0 where an image is black
    del broken.graph.node[3:4]
    broken.graph.node.insert(3, helper.make_node("MatMul", ["colour", "weight"], ["loud"]))
    broken.graph.node.insert(4, helper.make_node("ReduceMax", ["colour"], ["mean"], axes=[1], keepdims=1))
    broken.graph.node.insert(5, divide)
    arguments = make.arguments()
    arguments["model"].write_bytes(broken.SerializeToString())
    arguments["canaries"] = [dataclasses.replace(arguments["canaries"][0], logits=(8 * 10 / 250, 8.0))]
    bundle = room.write_bundle(make.folder / "out", **arguments)
    black, red = bundle.decide([picture((0, 0, 0)), picture(RED)])
    assert (black.answer, black.label, black.label_set) == ("defer", None, CLASSES)
    assert math.isnan(black.probability)
    assert math.isnan(black.confidence)
    assert red.answer == "exit"
    assert bundle.decide([picture((0, 0, 0))])[0].answer == "defer"


class TestModel:
    def rejected(self, make: Maker, model: bytes, match: str) -> None:
        arguments = make.arguments()
        arguments["model"].write_bytes(model)
        with pytest.raises(BundleRejected, match=match):
            room.write_bundle(make.folder / "out", **arguments)
        with pytest.raises(BundleRejected, match=match):
            Bundle.load(make.folder / "out")

    def test_bytes_that_are_no_network_are_rejected(self, make: Maker) -> None:
        self.rejected(make, b"no network", "model.onnx cannot be used")
        self.rejected(Maker(make.folder / "empty"), b"", "model.onnx cannot be used")

    @pytest.mark.parametrize("output", ["logits", "gate"])
    def test_an_output_of_another_name_is_rejected(self, make: Maker, output: str) -> None:
        model = network()
        for node in model.graph.node:
            node.output[:] = ["other" if name == output else name for name in node.output]
            node.input[:] = ["other" if name == output else name for name in node.input]
        for value in model.graph.output:
            value.name = "other" if value.name == output else value.name
        self.rejected(make, model.SerializeToString(), "model.onnx needs")

    def test_one_output_too_many_is_rejected(self, make: Maker) -> None:
        model = network()
        model.graph.output.append(helper.make_tensor_value_info("colour", 1, ["N", 3]))
        self.rejected(make, model.SerializeToString(), "model.onnx needs")

    def test_float_images_are_rejected(self, make: Maker) -> None:
        model = network()
        model.graph.input[0].type.tensor_type.elem_type = 1
        self.rejected(make, model.SerializeToString(), "model.onnx needs")

    def test_a_fixed_size_that_is_not_the_images_is_rejected(self, make: Maker) -> None:
        model = network()
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 99
        self.rejected(make, model.SerializeToString(), "failed on images of shape")

    def test_weights_outside_of_the_verified_bytes_are_rejected(
        self, make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = network()
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
        (tmp_path / "weight.bin").write_bytes(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = 1
        weight.external_data.add(key="location", value="weight.bin")
        monkeypatch.chdir(tmp_path)
        self.rejected(make, model.SerializeToString(), "model.onnx cannot be used")

    def test_weights_that_are_not_numbers_are_rejected(self, make: Maker) -> None:
        model = network()
        for tensor in model.graph.initializer:
            if tensor.name == "weight":
                tensor.CopyFrom(numpy_helper.from_array(np.full((3, 2), np.nan, np.float32), "weight"))
        self.rejected(
            make, model.SerializeToString(), "does not reproduce the canary images: logits are off by up to nan"
        )

    @pytest.mark.parametrize("model", [network(scale=8.1), network(gate_value=3.1), network(scale=-8.0)])
    def test_another_model_is_rejected(self, make: Maker, model: Any) -> None:
        self.rejected(make, model.SerializeToString(), "does not reproduce the canary images")


def test_answers_compare_by_value() -> None:
    assert Answer("defer", None, CLASSES, 0.5, 0.0) == Answer("defer", None, CLASSES, 0.5, 0.0)
