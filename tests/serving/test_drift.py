"""Drift: the index as its definition says, its size by chance alone, and a window that forgets."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.bundle.reference import OUTCOMES, Reference
from stage1.serving.drift import Window, psi

QUARTERS = Reference({"exit_negative": 40, "exit_positive": 30, "defer": 30}, (0.25, 0.5, 0.75), (25, 25, 25, 25))


def test_the_index_is_its_definition() -> None:
    a = [(3 + 0.5) / (10 + 1), (7 + 0.5) / (10 + 1)]
    e = [(60 + 0.5) / (100 + 1), (40 + 0.5) / (100 + 1)]
    assert psi([3, 7], [60, 40]) == pytest.approx(sum((x - y) * math.log(x / y) for x, y in zip(a, e, strict=True)))


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=12))
def test_the_index_is_never_negative_and_does_not_ask_which_is_which(pairs: list[tuple[int, int]]) -> None:
    one, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert psi(one, one) == 0
    assert psi(one, other) >= -1e-12
    assert psi(one, other) == pytest.approx(psi(other, one))


def test_chance_alone_gives_what_the_module_says() -> None:
    """9 (1/500 + 1/2000) = .0225 on average; .1 is never reached, a shift of half a standard deviation always does."""
    rng = np.random.default_rng(0)
    same, moved = [], []
    for _ in range(300):
        scores = rng.normal(size=2000)
        edges = np.quantile(scores, np.arange(1, 10) / 10)

        def counts(x: np.ndarray, edges: np.ndarray = edges) -> list[int]:
            return np.bincount(np.searchsorted(edges, x, side="right"), minlength=10).tolist()

        same.append(psi(counts(rng.normal(size=500)), counts(scores)))
        moved.append(psi(counts(rng.normal(0.5, size=500)), counts(scores)))
    assert np.mean(same) == pytest.approx(0.0225, rel=0.1)
    assert max(same) < 0.1 < min(moved)


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(OUTCOMES), st.floats(0, 1) | st.just(float("nan"))), max_size=7), max_size=8
    )
)
def test_the_window_is_the_latest_images_counted_afresh(requests: list[list[tuple[str, float]]]) -> None:
    window = Window(QUARTERS, 10)
    for request in requests:
        window.add([outcome for outcome, _ in request], [probability for _, probability in request])
    latest = [entry for request in requests for entry in request][-10:]
    assert window.num_images == len(latest)
    if latest:
        assert window.deferral_rate == sum(outcome == "defer" for outcome, _ in latest) / len(latest)
    finite = [probability for _, probability in latest if not math.isnan(probability)]
    if finite:
        counts = np.histogram(finite, [0, 0.25, 0.5, 0.75, 1.1])[0].tolist()
        assert window.score_psi == pytest.approx(psi(counts, QUARTERS.counts))
    else:
        assert math.isnan(window.score_psi)


def test_an_empty_window_and_a_bundle_without_a_reference_say_nothing() -> None:
    assert math.isnan(Window(QUARTERS, 5).deferral_rate)
    window = Window(None, 5)
    window.add(["defer"], [0.5])
    assert window.deferral_rate == 1
    assert math.isnan(window.score_psi)
