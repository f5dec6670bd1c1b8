"""Temperature scaling against scikit-learn, and where no temperature exists."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from stage1.calibration import Temperature
from stage1.errors import BadData

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input."""

    def fit(self, _x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


def simulated(temperature, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(3000, 4))
    cumulated = np.exp(logits / temperature).cumsum(axis=1)
    return logits, (cumulated < rng.random(3000)[:, None] * cumulated[:, -1:]).sum(axis=1)


def test_the_temperature_that_made_the_labels_is_found():
    assert Temperature().fit(*simulated(2.0)).temperature == pytest.approx(2.0, rel=0.05)
    assert Temperature().fit(*simulated(0.5)).temperature == pytest.approx(0.5, rel=0.05)


def test_scikit_learn_agrees():
    logits, label = simulated(1.7)
    peer = CalibratedClassifierCV(FrozenEstimator(Logits().fit(logits, label)), method="temperature").fit(logits, label)
    assert Temperature().fit(logits, label).apply(logits) == pytest.approx(peer.predict_proba(logits), abs=1e-5)


def test_perfect_logits_are_left_alone():
    found = Temperature().fit([[2.0, 0.0], [0.0, 1.0]], [0, 1])
    assert found.temperature == 1
    assert "classified right" in found.findings[0]


def test_perfectly_wrong_logits_are_left_alone():
    found = Temperature().fit([[2.0, 0.0], [0.0, 1.0]], [1, 0])
    assert found.temperature == 1
    assert "no better than chance" in found.findings[0]


def test_probabilities_do_not_depend_on_a_shift_of_the_logits():
    logits = np.array([[1000.0, 1001.0], [-5.0, 700.0]])
    assert Temperature(2.0).apply(logits) == pytest.approx(Temperature(2.0).apply(logits - logits[:, :1]))
    assert Temperature(2.0).apply(logits).sum(axis=1) == pytest.approx([1, 1])


def test_json_is_exact_and_checked():
    found = Temperature().fit(*simulated(1.3))
    assert Temperature.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(BadData, match="must be positive and finite, got 0"):
        Temperature.from_json({"temperature": 0, "findings": []})
    with pytest.raises(BadData, match="needs temperature and findings"):
        Temperature.from_json({})
    with pytest.raises(BadData, match="must be positive and finite, got inf"):
        Temperature.from_json({"temperature": float("inf"), "findings": []})


def test_many_blocks_are_one_fit(monkeypatch):
    logits, label = simulated(1.3)
    whole = Temperature().fit(logits, label).temperature
    monkeypatch.setattr("stage1.calibration.rows.BLOCK", 1024)
    assert Temperature().fit(logits, label).temperature == pytest.approx(whole, rel=1e-12)


def test_equal_logits_are_left_alone():
    found = Temperature().fit(np.ones((6, 2)), [0, 1, 0, 1, 1, 1])
    assert found.temperature == 1.0
    assert ["no better than chance" in sentence for sentence in found.findings] == [True]


def test_a_probability_of_exactly_zero_stays_zero_and_no_number_stays_none():
    assert Temperature(2.0).apply([[-np.inf, 0.0]]).tolist() == [[0.0, 1.0]]
    assert np.isnan(Temperature(2.0).apply([[np.inf, 0.0], [np.nan, 0.0]])).all()


def test_float32_logits_give_the_temperature_of_float64():
    logits, label = simulated(1.3)
    narrow = logits.astype(np.float32)
    assert Temperature().fit(narrow, label) == Temperature().fit(narrow.astype(np.float64), label)


@pytest.mark.parametrize("logits", [[1.0, 2.0], [[1.0]], np.zeros((0, 2)), [[np.nan, 1.0]]])
def test_bad_logits_are_refused(logits):
    with pytest.raises(BadData, match="logits"):
        Temperature().fit(logits, [0])


@pytest.mark.realdata
@pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/reference is not here")
def test_the_reference_temperature():
    expected = json.loads((FOLDER / "values.json").read_text())["lenet-5-cifar-10"]["temperature"]
    arrays = np.load(FOLDER / "lenet-5-cifar-10.npz")
    logits = np.log(np.clip(arrays["predictions"].astype(float), expected["clip"], 1))
    label = arrays["ground_truth"]
    found = Temperature().fit(logits[:5000], label[:5000])
    assert found.temperature == pytest.approx(expected["T"], rel=1e-8)
    after = -np.log(found.apply(logits[5000:])[np.arange(5000), label[5000:]]).mean()
    assert after == pytest.approx(expected["nll_eval_after"], abs=1e-8)


def test_a_sharpening_temperature_and_its_findings_are_read_back():
    assert Temperature.from_json({"temperature": 0.5, "findings": ["so"]}) == Temperature(0.5, ("so",))


def test_narrow_logits_are_widened_before_they_are_mapped():
    narrow = np.array([[0.1, -3.7]], dtype=np.float32)
    assert np.array_equal(Temperature(0.7).apply(narrow), Temperature(0.7).apply(narrow.astype(np.float64)))
