"""Which policy ships, and that all three are fitted as each alone would be."""

import numpy as np
import pytest

from stage1.errors import BadConfig
from stage1.policy import POLICIES, CalibrateConfig, GatePolicy, Predictions, ScrcPolicy, SoftmaxPolicy, choose, fit_all
from stage1.policy.choose import coverage
from tests.policy.scenes import scenes

CONFIG = CalibrateConfig()
ROWS, PLANNING = scenes(3000, 0), scenes(3000, 1)


def test_all_three_are_fitted_as_each_alone():
    constraint, aim = CONFIG.constraint, CONFIG.aim
    found = fit_all(ROWS, CONFIG, PLANNING)
    assert found == {
        "softmax": SoftmaxPolicy.fit(ROWS, constraint, aim=aim, planning=PLANNING),
        "gate": GatePolicy.fit(ROWS, constraint, aim=aim, planning=PLANNING),
        "scrc": ScrcPolicy.fit(ROWS, constraint, aim=aim, options=CONFIG.scrc),
    }
    assert list(found) == list(POLICIES)
    assert fit_all(ROWS, CONFIG) != found, "the plan matters"


def test_best_is_the_highest_coverage():
    found = fit_all(ROWS, CONFIG, PLANNING)
    shares = {name: coverage(policy, ROWS) for name, policy in found.items()}
    assert shares[choose(found, ROWS, "best")] == max(shares.values())
    assert choose(dict.fromkeys(("gate", "softmax"), found["scrc"]), ROWS, "best") == "gate", "the first of equals"
    assert choose(found, ROWS, "gate") == "gate"


def test_what_cannot_be_chosen_is_said():
    found = fit_all(ROWS, CONFIG, PLANNING)
    with pytest.raises(BadConfig, match=r"^exit_policy must be one of softmax, gate, scrc or best, got 'worst'\.$"):
        choose(found, ROWS, "worst")
    with pytest.raises(BadConfig, match=r"^There is no policy to choose from\.$"):
        choose({}, ROWS, "best")


def test_nothing_is_covered_where_there_is_nothing():
    found = fit_all(ROWS, CONFIG, PLANNING)
    empty = Predictions(np.empty((0, 2)), np.empty(0, np.int8), np.empty(0))
    assert coverage(found["softmax"], empty) == 0.0
