"""Dirichlet calibration: beta calibration at two classes, symmetric, monotone, honest about separable data."""

import json

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from sklearn.linear_model import LogisticRegression

from stage1.calibration import Dirichlet, dirichlet_fit
from stage1.calibration.activations import log_softmax
from stage1.calibration.dirichlet_fit import _held_out_images, _held_out_rows, choose_penalty, folds, minimise
from stage1.calibration.findings import NOT_CONVERGED, ONE_CLASS, SEPARABLE
from stage1.calibration.rows import Rows, binned
from stage1.errors import BadConfig, BadData, TooFewSamples


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


def test_the_gradient_is_the_slope(monkeypatch):
    num_classes = 3
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
    assert found.findings == (ONE_CLASS,)
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
    fold = folds(label, groups, 5, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(30))
    assert set(fold) == set(range(5))
    # Without groups each fold has its share of each class.
    plain = folds(label, None, 5, 0)
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
    for field in ("weight", "intercept"):
        broken = np.full_like(getattr(found, field), np.nan).tolist()
        with pytest.raises(BadData, match="finite weight and intercept"):
            Dirichlet.from_json({**found.to_json(), field: broken})
    with pytest.raises(BadData, match=r"square weight beside its intercept, got shape \(1, 2\)"):
        Dirichlet.from_json({**found.to_json(), "weight": [[1.0, 2.0]]})


def test_at_two_classes_the_off_diagonal_penalty_is_inert_and_at_three_it_is_not():
    """Every two-class map has a diagonal form, which ODIR's lambda leaves free."""
    logits, label = simulated()
    maps = [Dirichlet(off_diagonal=value).fit(logits, label) for value in (0.0, 1e-3, 1e6)]
    assert all(np.array_equal(found.weight, maps[0].weight) for found in maps)
    assert (maps[0].weight[~np.eye(2, dtype=bool)] == 0).all()
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2, size=(1000, 3))
    label = (0.5 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    free, held = (Dirichlet(off_diagonal=value).fit(logits, label) for value in (0.0, 1e3))
    off = ~np.eye(3, dtype=bool)
    assert np.abs(held.weight[off]).max() < 1e-3 < np.abs(free.weight[off]).max()


@pytest.mark.parametrize("penalty", [0.0, 0.1, 10.0])
def test_the_two_class_fit_is_the_minimum_of_the_penalised_loss(penalty):
    """Against a derivative-free minimum over the full W and b, off-diagonals included."""
    logits, label = simulated(400)
    log_p = log_softmax(logits)

    def loss(theta):
        weight, intercept = theta[:4].reshape(2, 2), theta[4:]
        log_q = log_softmax(log_p @ weight.T + intercept)
        off = weight[0, 1] ** 2 + weight[1, 0] ** 2
        return -log_q[np.arange(400), label].mean() + 0.01 * off + penalty * (intercept**2).sum()

    found = Dirichlet(off_diagonal=0.01, intercept_penalty=penalty).fit(logits, label)
    ours = np.concatenate([found.weight.ravel(), found.intercept])
    best = minimize(loss, ours + 0.05, method="Powell", options={"xtol": 1e-10, "ftol": 1e-14, "maxiter": 20_000})
    assert loss(ours) <= best.fun + 1e-10
    assert all(loss(ours + 1e-3 * step) >= loss(ours) for step in np.concatenate([np.eye(6), -np.eye(6)]))


@pytest.mark.parametrize(("positive", "negative", "zero"), [(0.9, -0.5, (0,)), (-0.5, 0.9, (1,)), (-0.9, -0.5, (0, 1))])
def test_each_bound_is_met_where_it_holds_the_fit_back(positive, negative, zero):
    logits, label = simulated(positive=positive, negative=negative)
    found = Dirichlet(intercept_penalty=0.0).fit(logits, label)
    assert tuple(index for index in (0, 1) if found.slopes[index] == 0) == zero
    assert len(found.findings) == 1
    log_p = log_softmax(logits)
    features = np.column_stack([log_p[:, 1], -log_p[:, 0]])
    margin = (2 * label - 1).astype(float)
    peer = minimize(
        lambda x: np.logaddexp(0, -margin * (features @ x[:2] + x[2])).mean(),
        [0.5, 0.5, 0.0],
        method="L-BFGS-B",
        bounds=[(0, None), (0, None), (None, None)],
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    assert found.apply(logits)[:, 1] == pytest.approx(1 / (1 + np.exp(-features @ peer.x[:2] - peer.x[2])), abs=1e-5)


def test_perfectly_wrong_logits_give_a_constant():
    logits = np.column_stack([np.zeros(100), np.linspace(-3, 3, 100)])
    label = (logits[:, 1] < 0).astype(int)
    found = Dirichlet().fit(logits, label)
    assert found.apply(logits)[:, 1] == pytest.approx(np.full(100, 0.5), abs=1e-6)
    assert "A monotone map was enforced" in found.findings[0]


@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_classes_that_touch_are_parted_too(gap):
    margin = np.concatenate([np.linspace(-3, 0, 20), np.linspace(gap, 3, 20)])
    found = Dirichlet().fit(np.column_stack([np.zeros(40), margin]), np.repeat([0, 1], 20))
    assert found.findings == (SEPARABLE,)


def test_three_separable_classes_and_one_class_of_three():
    logits = 4 * np.eye(3)[np.arange(60) % 3] + np.random.default_rng(0).normal(scale=0.1, size=(60, 3))
    found = Dirichlet().fit(logits, np.arange(60) % 3)
    assert found.findings == (SEPARABLE,)
    assert 0.9 < found.apply(logits).max(axis=1).mean() < 1
    assert Dirichlet().fit(logits, np.zeros(60, dtype=int)).findings == (ONE_CLASS,)


def test_equal_logits_give_the_share_of_positives():
    found = Dirichlet(intercept_penalty=0.0).fit(np.ones((10, 2)), [1] * 3 + [0] * 7)
    assert found.apply(np.ones((1, 2)))[0, 1] == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_fit_that_did_not_converge_is_dropped_and_said(monkeypatch, num_classes):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, num_classes))
    label = (logits + 2 * rng.gumbel(size=logits.shape)).argmax(axis=1)
    monkeypatch.setattr("stage1.calibration.logistic.MAX_STEPS", 1)
    real = minimize
    monkeypatch.setattr(
        "stage1.calibration.dirichlet_fit.minimize",
        lambda *args, options, **more: real(*args, options={**options, "maxiter": 1}, **more),
    )
    found = Dirichlet().fit(logits, label)
    assert found.findings == (NOT_CONVERGED,)
    assert found.apply(logits) == pytest.approx(Dirichlet(np.eye(num_classes), np.zeros(num_classes)).apply(logits))


def test_log_odds_are_those_of_the_probabilities():
    logits, label = simulated(300)
    found = Dirichlet().fit(logits, label)
    p = found.apply(logits)[:, 1]
    assert found.log_odds(logits[:, 1] - logits[:, 0]) == pytest.approx(np.log(p / (1 - p)), rel=1e-9)
    general = Dirichlet(np.array([[0.9, -0.2], [0.1, 1.3]]), np.array([0.3, -0.1]))
    p = general.apply(logits)[:, 1]
    assert general.log_odds(logits[:, 1]) == pytest.approx(np.log(p / (1 - p)), rel=1e-9, abs=1e-9)
    assert np.isnan(found.log_odds([np.nan])).all()
    assert found.log_odds([-np.inf, np.inf]).tolist() == [-np.inf, np.inf]
    with pytest.raises(BadData, match="Log-odds need two classes, this map has 3"):
        Dirichlet(np.eye(3), np.zeros(3)).log_odds([0.0])


def test_probabilities_of_exactly_zero_and_one():
    """Their logarithms are no fit for fitting; applied they stay certain, and what is no number stays none."""
    with np.errstate(divide="ignore"):
        logits = np.log([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    with pytest.raises(BadData, match="must be finite; row 0 of 3 is not"):
        Dirichlet().fit(logits, [0, 1, 1])
    assert Dirichlet().log_odds(logits[:, 1] - logits[:, 0]).tolist() == [-np.inf, np.inf, 0]
    assert np.isnan(Dirichlet().apply([[np.nan, 0.0], [np.inf, 0.0]])).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused(bad):
    with pytest.raises(BadData, match="row 1 of 2"):
        Dirichlet().fit([[0.0, 1.0], [bad, 0.0]], [0, 1])
    with pytest.raises(BadData, match="row 1 of 2"):
        choose_penalty([[0.0, 1.0], [0.0, bad]], [0, 1])


def test_logits_of_a_wrong_shape_are_refused():
    with pytest.raises(BadData, match=r"logits need shape \(N, 2\) with N >= 1, got \(0, 2\)"):
        Dirichlet().fit(np.zeros((0, 2)), [])
    with pytest.raises(BadData, match=r"logits need shape \(N, K\) with K >= 2 and N >= 1, got \(2, 1\)"):
        choose_penalty([[1.0], [2.0]], [0, 1])
    with pytest.raises(BadData, match=r"for each of 2 images, got shape \(1,\)"):
        Dirichlet().fit(np.zeros((2, 2)), [1])


def test_a_difference_beyond_float64_is_refused():
    with pytest.raises(BadData, match="difference must be finite"):
        Dirichlet().fit([[0.0, 1.0], [-1e308, 1e308]], [0, 1])


def test_float32_logits_give_the_map_of_float64():
    logits, label = simulated(500)
    narrow = logits.astype(np.float32)
    first, second = choose_penalty(narrow, label), choose_penalty(narrow.astype(np.float64), label)
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.apply(narrow), second.apply(narrow.astype(np.float64)))


def test_very_many_images_are_compared_in_bins_and_fitted_exactly(monkeypatch):
    rng = np.random.default_rng(5)
    margin = rng.normal(scale=3, size=20_000)
    label = (rng.random(20_000) < 1 / (1 + np.exp(-0.7 * margin - 0.5))).astype(int)
    logits = np.column_stack([np.zeros(20_000), margin])
    exact = choose_penalty(logits, label)
    monkeypatch.setattr("stage1.calibration.dirichlet_fit.BINNED_FROM", 20_000)
    assert np.array_equal(choose_penalty(logits, label).weight, exact.weight)
    assert choose_penalty(logits, label).intercept_penalty == exact.intercept_penalty == 1e-4


def test_the_penalty_is_chosen_by_held_out_loss_for_three_classes():
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(300, 3))
    label = (logits + np.array([1.5, 0.0, 0.0]) + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert choose_penalty(logits, label, penalties=(1e-3, 100.0), num_folds=3).off_diagonal == 1e-3


@pytest.mark.parametrize(
    "options", [{"num_folds": 1}, {"penalties": ()}, {"penalties": (-1.0, 1.0)}], ids=["folds", "none", "negative"]
)
def test_folds_and_penalties_that_make_no_sense_are_refused(options):
    with pytest.raises(BadConfig, match="2 folds or more and penalties >= 0"):
        choose_penalty(*simulated(50), **options)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_held_out_loss_is_that_of_maps_that_did_not_see_the_fold(num_classes):
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(120, num_classes))
    label = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    fold = folds(label, None, 3, 0)
    by_hand = 0.0
    for one in range(3):
        seen = Dirichlet(off_diagonal=0.2, intercept_penalty=0.2).fit(logits[fold != one], label[fold != one])
        held = seen.apply(logits[fold == one])
        by_hand -= np.log(held[np.arange(len(held)), label[fold == one]]).sum() / 120
    assert _held_out_images(logits, label, fold)(0.2) == pytest.approx(by_hand, rel=1e-9)
    if num_classes == 2:
        rows = Rows.of(logits[:, 1] - logits[:, 0], label)
        assert _held_out_rows(rows, fold, 3)(0.2) == pytest.approx(by_hand, rel=1e-9)


def test_bins_are_used_from_their_number_of_images_on(monkeypatch):
    used = []
    monkeypatch.setattr(dirichlet_fit, "BINNED_FROM", 100)
    monkeypatch.setattr(dirichlet_fit, "binned", lambda *args: used.append(len(args[0])) or binned(*args))
    choose_penalty(*simulated(99))
    choose_penalty(*simulated(100))
    assert used == [100]


def test_groups_and_seed_reach_the_folds(monkeypatch):
    seen = []
    monkeypatch.setattr(dirichlet_fit, "folds", lambda *args: seen.append(args[1:]) or folds(*args))
    logits, label = simulated(60)
    groups = np.arange(60) // 2
    choose_penalty(logits, label, groups_N=groups, num_folds=4, seed=9)
    assert seen == [(groups, 4, 9)]


def test_ties_go_to_the_stronger_penalty(monkeypatch):
    monkeypatch.setattr(dirichlet_fit, "two_class_loss", lambda *_: 1.0)
    found = choose_penalty(*simulated(60), penalties=(0.1, 0.5, 0.01))
    assert (found.off_diagonal, found.intercept_penalty) == (0.5, 0.5)


def test_folds_are_even_repeatable_and_drawn():
    label = np.array([0] * 7 + [1] * 6)
    first = folds(label, None, 5, 3)
    assert np.array_equal(first, folds(label, None, 5, 3))
    assert sorted(np.bincount(first)) == [2, 2, 3, 3, 3]
    assert sorted(np.bincount(first[label == 0], minlength=5)) == [1, 1, 1, 2, 2]
    assert any(not np.array_equal(first, folds(label, None, 5, seed)) for seed in range(4, 8))
    two_groups = folds(label, np.arange(13) % 2, 5, 0)
    assert len(set(two_groups[::2])) == len(set(two_groups[1::2])) == 1
    assert two_groups[0] != two_groups[1]


def test_the_least_that_cross_validation_takes():
    found = choose_penalty(*simulated(40), penalties=(0.0, 0.1), num_folds=2)
    assert found.intercept_penalty in (0.0, 0.1)
    assert choose_penalty([[0.0, d] for d in (-2.0, 1.0, -1.0, 2.0)], [0, 0, 1, 1]).monotone  # two of each class
    with pytest.raises(TooFewSamples, match="at least 2 images of each class, got 0"):
        choose_penalty(np.zeros((4, 3)), [0, 0, 1, 1])


def test_the_diagonal_is_free_at_three_classes():
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=2, size=(1000, 3))
    label = (0.5 * logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    held = Dirichlet(off_diagonal=1e3, intercept_penalty=0.0).fit(logits, label)
    assert held.findings == ()
    assert np.diag(held.weight) == pytest.approx([0.5, 0.5, 0.5], abs=0.1)


def test_separable_after_a_shift_is_separable():
    rng = np.random.default_rng(0)
    logits = 4 * np.eye(3)[np.arange(90) % 3] + rng.normal(scale=0.1, size=(90, 3)) + np.array([0.0, 6.0, -6.0])
    assert Dirichlet().fit(logits, np.arange(90) % 3).findings == (SEPARABLE,)


def test_labels_of_two_classes_are_zero_and_one():
    with pytest.raises(BadData, match="classes 0 to 1; row 1 holds 2"):
        Dirichlet().fit(np.zeros((2, 2)), [0, 2])


def test_json_of_whole_numbers_is_read_as_floats_with_its_findings():
    found = Dirichlet.from_json({**Dirichlet().to_json(), "weight": [[1, 0], [0, 1]], "intercept": [0, 0]})
    assert (found.weight.dtype, found.intercept.dtype) == (np.float64, np.float64)
    assert Dirichlet.from_json({**Dirichlet().to_json(), "findings": ["so"]}).findings == ("so",)
    with pytest.raises(BadData, match=r"^Dirichlet needs a finite weight and intercept\.$"):
        Dirichlet.from_json({**Dirichlet().to_json(), "intercept": [0.0, float("inf")]})


def test_a_certain_logit_makes_no_warning_and_narrow_margins_are_widened():
    assert np.isnan(Dirichlet().apply([[-np.inf, 0.0]])).any()
    narrow = np.array([0.1, -3.7], dtype=np.float32)
    found = Dirichlet().fit(*simulated(100))
    assert np.array_equal(found.log_odds(narrow), found.log_odds(narrow.astype(np.float64)))
    assert found.log_odds([1, -2]).tolist() == found.log_odds([1.0, -2.0]).tolist()


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_platts_target_without_a_penalty(label):
    logits, _ = simulated(50)
    found = Dirichlet(intercept_penalty=0.0).fit(logits, np.full(50, label))
    assert found.apply(logits)[:, label] == pytest.approx(np.full(50, 51 / 52), abs=1e-6)


def test_a_constant_map_of_a_certain_margin_is_no_number():
    assert np.isnan(Dirichlet(np.diag([1.0, 0.0])).log_odds([-np.inf])).all()
