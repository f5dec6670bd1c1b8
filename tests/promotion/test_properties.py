"""What holds for every candidate: the gate is monotone, never raises, and never says yes to what it cannot show."""

import copy
import json
import math
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from stage1.promotion import Decision, GateConfig, gate
from tests.promotion.candidates import Candidate, pointer

CANDIDATES = st.builds(
    Candidate,
    tp=st.integers(0, 1200),
    fn=st.integers(0, 25),
    tn=st.integers(0, 2500),
    fp=st.integers(0, 140),
    deferred_pos=st.integers(0, 600),
    deferred_neg=st.integers(41, 1200),
    groups=st.integers(1, 60),
    augrc=st.floats(0.0, 0.03),
    augrc_margin=st.floats(0.0, 0.01),
    champion_augrc=st.none() | st.floats(0.0, 0.03),
    difference_margin=st.floats(1e-4, 0.01),
    design_effect=st.floats(1.0, 4.0),
)
NEAR = st.builds(  # candidates that pass often
    Candidate,
    tp=st.integers(700, 1200),
    fn=st.integers(0, 12),
    tn=st.integers(1500, 2500),
    fp=st.integers(0, 90),
    deferred_pos=st.integers(0, 300),
    deferred_neg=st.integers(0, 600),
    groups=st.integers(15, 60),
    augrc=st.floats(0.001, 0.006),
    augrc_margin=st.floats(0.0, 0.01),
    champion_augrc=st.none() | st.floats(0.003, 0.008),
    difference_margin=st.floats(1e-4, 0.005),
    design_effect=st.floats(1.0, 2.0),
)


def promoted(candidate: Candidate, limits: GateConfig | None = None, look: int = 1) -> bool:
    champion = pointer() if candidate.champion_augrc is not None else None
    return gate(candidate.metrics(), limits or GateConfig(), champion, look=look).promote


def worse_ones(candidate: Candidate, step: int, amount: float) -> list[Candidate]:
    """The same candidate with one number worse, everything that depends on it computed again."""
    moved = [
        replace(candidate, tp=candidate.tp - step, fn=candidate.fn + step),
        replace(candidate, tn=candidate.tn - step, fp=candidate.fp + step),
        replace(candidate, fn=candidate.fn + step, deferred_pos=candidate.deferred_pos - step),
        replace(candidate, fp=candidate.fp + step, deferred_neg=candidate.deferred_neg - step),
        replace(candidate, tp=candidate.tp - step, deferred_pos=candidate.deferred_pos + step),
        replace(candidate, tn=candidate.tn - step, deferred_neg=candidate.deferred_neg + step),
        replace(candidate, groups=candidate.groups - step),
        replace(candidate, augrc=candidate.augrc + amount),
        replace(candidate, augrc_margin=candidate.augrc_margin + amount),
        replace(candidate, difference_margin=candidate.difference_margin + amount),
        replace(candidate, design_effect=candidate.design_effect + 100 * amount),
    ]
    if candidate.champion_augrc is not None:
        moved.append(replace(candidate, champion_augrc=max(0.0, candidate.champion_augrc - amount)))
    return [one for one in moved if min(one.tp, one.tn, one.deferred_pos, one.deferred_neg, one.groups) >= 0]


@settings(deadline=None, max_examples=150)
@given(candidate=CANDIDATES | NEAR, step=st.integers(1, 40), amount=st.floats(1e-6, 0.02))
@example(Candidate(), 1, 1e-6)
def test_worsening_any_number_never_turns_a_refusal_into_a_promotion(
    candidate: Candidate, step: int, amount: float
) -> None:
    if not promoted(candidate):
        assert not any(promoted(worse) for worse in worse_ones(candidate, step, amount))


@settings(deadline=None, max_examples=100)
@given(candidate=NEAR, look=st.integers(1, 20))
def test_spending_is_never_laxer_than_warning_and_later_looks_never_laxer_than_earlier(
    candidate: Candidate, look: int
) -> None:
    spend = GateConfig(on_repeat_look="spend")
    if promoted(candidate, spend, look):
        assert promoted(candidate, GateConfig(), look)
        assert promoted(candidate, spend, max(1, look - 1))


@settings(deadline=None, max_examples=100)
@given(
    candidate=NEAR,
    field=st.sampled_from(["min_coverage", "max_augrc", "champion_margin", "min_groups"]),
    share=st.floats(0.05, 1.0),
)
def test_a_stricter_limit_never_promotes_more(candidate: Candidate, field: str, share: float) -> None:
    value = getattr(GateConfig(), field)
    stricter = {
        "min_coverage": value + (1 - value) * share,
        "max_augrc": value * share,
        "champion_margin": value * share,
        "min_groups": math.ceil(value / share),
    }[field]
    if promoted(candidate, GateConfig(**{field: stricter})):
        assert promoted(candidate)


@settings(deadline=None, max_examples=120)
@given(candidate=CANDIDATES | NEAR)
def test_what_is_promoted_keeps_what_is_promised(candidate: Candidate) -> None:
    """The certificate by the binomial distribution itself: so few misses had at most 5 % chance at a rate of 2 %."""
    if promoted(candidate):
        assert binom.cdf(candidate.fn, candidate.positives, 0.02) <= 0.05 + 1e-9
        assert binom.cdf(candidate.fp, candidate.negatives, 0.05) <= 0.05 + 1e-9
        assert (candidate.positives + candidate.negatives) / candidate.images >= 0.6
        assert candidate.augrc + candidate.augrc_margin <= 0.02
        assert candidate.groups >= 20
        if candidate.champion_augrc is not None:
            assert candidate.augrc - candidate.champion_augrc + candidate.difference_margin <= 0.002 + 1e-12


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths(part: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(part, dict):
        return [at]
    return [at, *(path for name, inner in part.items() for path in paths(inner, (*at, name)))]


PATHS = [path for path in paths(Candidate().metrics()) if path]


@settings(deadline=None, max_examples=200)
@given(path=st.sampled_from(PATHS), junk=JSON, champion=st.none() | JSON | st.just(pointer()), look=st.integers(-2, 5))
def test_no_metrics_make_it_raise_and_every_decision_can_be_read_again(
    path: tuple[str, ...], junk: Any, champion: Any, look: int
) -> None:
    metrics = copy.deepcopy(Candidate().metrics())
    part: Any = metrics
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = junk
    decision = gate(metrics, GateConfig(), champion, look=look)
    document = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert Decision.from_json(document) == decision
    assert document["promote"] is (document["reasons"] == [])


@settings(deadline=None, max_examples=100)
@given(junk=JSON)
def test_junk_is_refused(junk: Any) -> None:
    assert not gate(junk, GateConfig()).promote
