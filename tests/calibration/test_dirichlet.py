"""Dirichlet calibration: beta calibration at two classes, symmetric, monotone, honest about separable data."""

import json

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from stage1.calibration import Dirichlet
from stage1.calibration.activations import log_softmax
from stage1.calibration.dirichlet_fit import choose_penalty, minimise
from stage1.errors import BadData, TooFewSamples


def simulated(num_images=1500, seed=0, positive=0.9, negative=0.5):
    """Two classes whose log-odds are distorted differently on the two sides."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(scale=3, size=num_images)
    true = np.where(margin > 0, positive * margin, negative * margin) + 0.3
    label = (rng.random(num_images) < 1 / (1 + np.exp(-true))).astype(int)
    return np.column_stack([np.zeros(num_images), margin]), label


def test_unregularised_it_is_beta_calibration():
    logits, label = simulated()
    log_p = log_softmax(logits)
    features = np.column_stack([log_p[:, 1], -log_p[:, 0]])
    beta = LogisticRegression(C=np.inf, tol=1e-12, max_iter=5000).fit(features, label)
    ours = Dirichlet(off_diagonal=0.0, intercept_penalty=0.0).fit(logits, label)
    assert beta.coef_.min() > 0  # so the monotone bounds are not in the way
    assert ours.apply(logits) == pytest.approx(beta.predict_proba(features), abs=1e-6)
    assert ours.findings == ()


@pytest.mark.parametrize("num_classes", [2, 4])
def test_renaming_the_classes_renames_the_result(num_classes):
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(600, num_classes))
    label = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    order = rng.permutation(num_classes)
    while (order == np.arange(num_classes)).all():
        order = rng.permutation(num_classes)
    renamed = Dirichlet(off_diagonal=0.01).fit(logits[:, order], np.argsort(order)[label])
    plain = Dirichlet(off_diagonal=0.01).fit(logits, label)
    assert renamed.apply(logits[:, order]) == pytest.approx(plain.apply(logits)[:, order], abs=1e-5)


def test_three_classes_unregularised_are_multinomial_regression_on_log_probabilities():
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2, size=(2000, 3))
    true = 0.5 * log_softmax(logits) + np.array([0.4, 0.0, -0.4])
    label = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(log_softmax(logits), label)
    found = Dirichlet(off_diagonal=0.0, intercept_penalty=0.0).fit(logits, label)
    assert found.apply(logits) == pytest.approx(peer.predict_proba(log_softmax(logits)), abs=1e-4)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_gradient_is_the_slope(monkeypatch, num_classes):
    rng = np.random.default_rng(3)
    log_p = log_softmax(rng.normal(size=(50, num_classes)))
    targets = np.eye(num_classes)[rng.integers(0, num_classes, 50)]
    seen = {}

    def spy(objective, start, **_):
        seen["objective"] = objective
        raise StopIteration

    monkeypatch.setattr("stage1.calibration.dirichlet_fit.minimize", spy)
    with pytest.raises(StopIteration):
        minimise(log_p, targets, 0.1, 0.2)
    objective = seen["objective"]
    theta = rng.normal(size=num_classes * (num_classes + 1))
    assert check_grad(lambda w: objective(w)[0], lambda w: objective(w)[1], theta) < 1e-6


def test_a_reversing_fit_is_held_monotone_and_said():
    logits, label = simulated(positive=0.9, negative=-0.5)
    found = Dirichlet(off_diagonal=0.0, intercept_penalty=0.0).fit(logits, label)
    assert found.monotone
    assert "A monotone map was enforced" in found.findings[0]
    ladder = np.column_stack([np.zeros(200), np.linspace(-30, 30, 200)])
    assert (np.diff(found.apply(ladder)[:, 1]) >= 0).all()


def test_monotone_says_no_for_a_map_that_reverses():
    assert not Dirichlet(weight=np.array([[1.0, 0.0], [0.0, -1.0]])).monotone
    assert not Dirichlet(weight=np.array([[-1.0, 0.0], [0.0, 1.0]])).monotone
    assert Dirichlet().monotone
    assert not Dirichlet(weight=np.eye(3), intercept=np.zeros(3)).monotone


def test_separable_data_is_said_and_stays_finite():
    logits, _ = simulated(200)
    label = (logits[:, 1] > 0).astype(int)
    found = Dirichlet().fit(logits, label)
    assert "separate the classes" in found.findings[0]
    probability = found.apply(logits)
    assert probability.min() > 0
    assert np.abs(found.weight).max() < 100


def test_one_class_stays_finite():
    logits, label = simulated(50)
    found = Dirichlet().fit(logits, np.zeros_like(label))
    assert "separate the classes" in found.findings[0]
    assert 0.5 < found.apply(logits)[:, 0].mean() < 1


def test_cross_validation_takes_the_penalty_with_the_lowest_held_out_loss():
    # Labels with a strong intercept shift: a penalty of 100 on it must lose, whatever the folds.
    rng = np.random.default_rng(4)
    margin = rng.normal(size=500)
    label = (rng.random(500) < 1 / (1 + np.exp(-margin - 2))).astype(int)
    logits = np.column_stack([np.zeros(500), margin])
    assert choose_penalty(logits, label, penalties=(1e-4, 100.0)).intercept_penalty == 1e-4
    assert choose_penalty(logits, label, penalties=(100.0,)).intercept_penalty == 100.0


def test_folds_keep_groups_whole_and_repeat_by_seed():
    logits, label = simulated(300)
    groups = np.arange(300) // 10
    first = choose_penalty(logits, label, groups_N=groups, seed=1)
    again = choose_penalty(logits, label, groups_N=groups, seed=1)
    assert np.array_equal(first.weight, again.weight)
    from stage1.calibration.dirichlet_fit import _folds

    fold = _folds(label, groups, 5, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(30))
    assert set(fold) == set(range(5))
    # Without groups each fold has its share of each class.
    plain = _folds(label, None, 5, 0)
    shares = np.bincount(plain[label == 1], minlength=5)
    assert shares.max() - shares.min() <= 1


def test_a_single_group_falls_back_to_images():
    logits, label = simulated(100)
    found = choose_penalty(logits, label, groups_N=np.zeros(100), penalties=(1e-3, 1e-2))
    assert found.monotone


def test_too_few_of_a_class_is_refused():
    with pytest.raises(TooFewSamples, match="at least 2 images of each class, got 1"):
        choose_penalty(np.zeros((5, 2)), [0, 0, 0, 0, 1])


def test_json_is_exact_and_checked():
    found = Dirichlet().fit(*simulated(200))
    back = Dirichlet.from_json(json.loads(json.dumps(found.to_json())))
    assert np.array_equal(back.weight, found.weight)
    assert np.array_equal(back.intercept, found.intercept)
    assert back.to_json() == found.to_json()
    with pytest.raises(BadData, match="Dirichlet needs weight"):
        Dirichlet.from_json({})
    with pytest.raises(BadData, match=r"finite square weight beside its intercept, got shape \(1, 2\)"):
        Dirichlet.from_json({**found.to_json(), "weight": [[1.0, 2.0]]})
