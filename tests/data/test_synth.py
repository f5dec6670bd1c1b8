"""The generator of street scenes: what a scene promises."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from stage1.data.synth import MIN_CONTRAST, MIN_VISIBLE, Scene, SynthConfig, render_scene
from stage1.data.synth import scene as scene_module
from stage1.data.synth.canvas import Camera, Canvas, Light

CONFIG = SynthConfig(num_drives=100, frames_per_drive=12, seed=5)


@dataclass(frozen=True)
class Gallery:
    scenes: list[Scene]

    @property
    def positives(self) -> list[Scene]:
        return [scene for scene in self.scenes if scene.label == 1]

    @property
    def negatives(self) -> list[Scene]:
        return [scene for scene in self.scenes if scene.label == 0]


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(
        [render_scene(CONFIG, d, f) for d in range(CONFIG.num_drives) for f in range(CONFIG.frames_per_drive)]
    )


def auroc(scores_N: NDArray[np.float64], labels_N: NDArray[np.int64]) -> float:
    """Count the pairs in which the positive scores higher: its definition."""
    positive, negative = scores_N[labels_N == 1], scores_N[labels_N == 0]
    return float((positive[:, None] > negative[None, :]).mean())


def test_a_scene_is_a_pure_function_of_config_drive_and_frame():
    first = render_scene(CONFIG, 7, 3)
    render_scene(CONFIG.model_copy(update={"seed": 9}), 2, 1)
    again = render_scene(CONFIG, 7, 3)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8


def test_more_drives_do_not_change_earlier_ones():
    larger = CONFIG.model_copy(update={"num_drives": 900})
    assert render_scene(CONFIG, 3, 1).image.tobytes() == render_scene(larger, 3, 1).image.tobytes()


def test_another_seed_draws_other_scenes():
    other = CONFIG.model_copy(update={"seed": 6})
    assert render_scene(CONFIG, 0, 0).image.tobytes() != render_scene(other, 0, 0).image.tobytes()


def test_frames_of_a_drive_share_weather_and_setting_but_not_the_picture(gallery):
    for drive in range(CONFIG.num_drives):
        frames = [scene for scene in gallery.scenes if scene.drive == drive]
        assert len({(scene.weather, scene.setting) for scene in frames}) == 1
        assert len({scene.image.tobytes() for scene in frames}) == len(frames)


def test_every_weather_and_setting_occurs_with_both_labels(gallery):
    seen = {(scene.weather, scene.label) for scene in gallery.scenes}
    assert seen == {(weather, label) for weather in ("day", "dusk", "rain", "haze", "night") for label in (0, 1)}
    seen = {(scene.setting, scene.label) for scene in gallery.scenes}
    assert seen == {(setting, label) for setting in ("city", "suburb", "rural", "highway") for label in (0, 1)}


def test_positive_rate_is_met_within_sampling_error(gallery):
    # A drive's rate is uniform in [.5, 1.5] * rate: standard deviation rate / sqrt(12), of 100 drives' mean a tenth.
    expected = CONFIG.positive_rate
    four_sigma = 4 * expected / 12**0.5 / 10
    assert abs(len(gallery.positives) / len(gallery.scenes) - expected) < four_sigma


@pytest.mark.parametrize(("rate", "labels"), [(0.0, {0}), (1.0, {1})])
def test_extreme_positive_rates_give_one_class(rate, labels):
    config = SynthConfig(num_drives=2, frames_per_drive=4, positive_rate=rate)
    assert {render_scene(config, d, f).label for d in range(2) for f in range(4)} == labels


def test_every_positive_shows_the_least_number_of_work_pixels(gallery):
    needed = MIN_VISIBLE * CONFIG.image_size**2
    assert min(scene.visible_pixels for scene in gallery.positives) >= needed
    assert all(scene.work for scene in gallery.positives)


def test_work_pixels_are_what_differs_from_the_street_without_work(monkeypatch):
    """Count them by another way: render the whole scene, its work items painted as nothing."""
    honest = scene_module._paint
    pairs = []

    def spy(ground, items, exposure, size):
        seen, without = honest(ground, items, exposure, size)
        bare, _ = honest(ground, [item for item in items if item.role != "work"], exposure, size)
        pairs.append((seen, without, bare))
        return seen, without

    monkeypatch.setattr(scene_module, "_paint", spy)
    config = SynthConfig(num_drives=6, frames_per_drive=4, positive_rate=1.0, seed=3)
    for drive in range(6):
        for frame in range(4):
            pairs.clear()
            scene = render_scene(config, drive, frame)
            seen, without, bare = pairs[-1]
            np.testing.assert_array_equal(without, bare)
            counted = sum(
                any(abs(float(seen[y, x, c]) - float(bare[y, x, c])) >= MIN_CONTRAST for c in range(3))
                for y in range(3, 61)
                for x in range(3, 61)
            )
            assert scene.visible_pixels == counted


def test_negatives_show_no_work_and_most_show_lookalikes(gallery):
    assert not any(scene.work or scene.visible_pixels for scene in gallery.negatives)
    crowded = sum(bool(scene.lookalikes) for scene in gallery.negatives) / len(gallery.negatives)
    # Binomial, about 760 negatives: standard deviation .016.
    assert abs(crowded - CONFIG.lookalike_rate) < 0.064


def test_lookalikes_of_every_sort_occur_in_negatives(gallery):
    seen = {kind for scene in gallery.negatives for kind in scene.lookalikes}
    signs = {f"{style} sign" for style in ("ban", "duty", "stop", "yield", "school", "curve", "guide")}
    vehicles = {f"orange {kind}" for kind in ("car", "van", "lorry", "bus")}
    others = {"orange shirt", "billboard", "bin", "post box", "hydrant", "parasol", "autumn tree", "tractor"}
    assert seen == signs | vehicles | others


def test_work_of_every_sort_occurs_in_positives(gallery):
    seen = {kind for scene in gallery.positives for kind in scene.work}
    assert seen == {
        "cone", "barrel", "barrier", "chevron board", "block barrier", "diamond sign", "triangle sign", "arrow trailer",
        "excavator", "roller", "worker", "mesh", "soil heap", "trench",
    }  # fmt: skip


def test_a_share_of_the_positives_is_hard_and_shows_fewer_pixels(gallery):
    hard = [scene.visible_pixels for scene in gallery.positives if scene.hard]
    plain = [scene.visible_pixels for scene in gallery.positives if not scene.hard]
    # Binomial, about 430 positives: standard deviation .021.
    assert abs(len(hard) / len(gallery.positives) - CONFIG.hard_rate) < 0.085
    assert np.median(hard) < 0.8 * np.median(plain)


def test_thumbnails_do_not_give_the_label_away(gallery):
    """Logistic regression on 8 x 8 thumbnails, trained on 70 drives, stays below AUROC .85 on 30 others."""
    from sklearn.linear_model import LogisticRegression

    images_NHWC = np.stack([scene.image for scene in gallery.scenes]).astype(np.float64)
    thumbs_NF = images_NHWC.reshape(-1, 8, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(len(images_NHWC), -1) / 64.0
    labels_N = np.array([scene.label for scene in gallery.scenes])
    train_N = np.array([scene.drive < 70 for scene in gallery.scenes])
    model = LogisticRegression(C=0.05, max_iter=1000).fit(thumbs_NF[train_N], labels_N[train_N])
    value = auroc(model.decision_function(thumbs_NF[~train_N]), labels_N[~train_N])
    assert 0.5 < value < 0.85


def test_another_image_size_keeps_the_least_visible_share():
    config = SynthConfig(num_drives=4, frames_per_drive=3, image_size=96, positive_rate=1.0)
    for drive in range(4):
        for frame in range(3):
            scene = render_scene(config, drive, frame)
            assert scene.image.shape == (96, 96, 3)
            assert scene.visible_pixels >= MIN_VISIBLE * 96 * 96


def test_projection_is_a_pinhole():
    # focal 100 px: a metre at 10 m is 10 px; the ground 2 m below the eye lies 20 px under the horizon at row 40.
    from PIL import Image

    light = Light((1.0, 1.0, 1.0), 0.0, 1.0, (0.0, 0.0, 0.0), 1e9, 0.0)
    canvas = Canvas(Image.new("RGB", (100, 100)), Camera(1.0, 2.0, 0.4), light)
    assert canvas.pixel(1.0, 0.0, 10.0) == pytest.approx((60.0, 60.0))
    spot = canvas.at(1.0, 10.0)
    assert (spot.scale, spot.left, spot.foot) == pytest.approx((10.0, 60.0, 60.0))


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_drives", 0), ("image_size", 16), ("positive_rate", 1.5), ("seed", -1), ("hard_rate", -0.1), ("colour", 1)],
)
def test_config_refuses_what_it_cannot_do(field, value):
    with pytest.raises(ValidationError, match=field):
        SynthConfig.model_validate({field: value})


def test_every_config_field_says_what_it_is():
    assert all(field.description for field in SynthConfig.model_fields.values())
