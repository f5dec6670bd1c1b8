"""The champion on the very same test images, and how much better or worse the challenger ranks its mistakes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stage1.evaluation.rates import number, policy_intervals, policy_rates
from stage1.evaluation.rows import TestRows
from stage1.metrics import Resampler, difference, weighted_augrc
from stage1.policy import ExitPolicy


@dataclass(frozen=True)
class Champion:
    """What the channel points at now, re-run on the challenger's test images.

    Attributes:
        rows: The same images in the same order as the challenger's.
    """

    digest: str
    sequence: int
    policy_name: str
    policy: ExitPolicy
    rows: TestRows
    model_digest: str


def compare(
    champion: Champion, policy: ExitPolicy, rows: TestRows, model_digest: str, resampler: Resampler, confidence: float
) -> dict[str, Any]:
    """Return the champion's numbers and the paired difference in AUGRC, challenger less champion (negative is better).

    `upper` is the one-sided bound at `confidence`, from resamples that both models share; it is missing where the test
    images are a single group. `identical` says that nothing would change: the same model under the same policy.
    """
    judged = policy_rates(champion.policy, champion.rows, confidence)
    mine = weighted_augrc(policy.confidence(rows.logits_N2, rows.gate_N), rows.wrong_N)
    theirs = weighted_augrc(
        champion.policy.confidence(champion.rows.logits_N2, champion.rows.gate_N), champion.rows.wrong_N
    )
    paired = difference(mine, theirs)
    draws_R = resampler.evaluate({"difference": paired})["difference"]
    low, upper = np.quantile(draws_R, [1 - confidence, confidence]) if resampler.num_units > 1 else (None, None)
    return {
        "digest": champion.digest,
        "sequence": champion.sequence,
        "policy": champion.policy_name,
        "model_digest": champion.model_digest,
        "identical": champion.model_digest == model_digest and champion.policy == policy,
        "fnr_answered": judged["fnr_answered"],
        **{
            name: value
            for name, value in policy_intervals(champion.policy, champion.rows, resampler, confidence).items()
            if name in ("augrc", "coverage")
        },
        "augrc_difference": {
            "value": number(float(resampler.observed(paired))),
            "low": None if low is None else float(low),
            "upper": None if upper is None else float(upper),
        },
    }
