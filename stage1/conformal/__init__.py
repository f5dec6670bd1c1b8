"""Finite-sample promises about misses: conformal risk control, selective conformal risk control, exact binomials.

    binomial   Clopper-Pearson, samples needed, fixed-sequence testing (ltt): with probability 1 - delta
    clusters   the same for images in groups (Korn-Graubard), approximate
    crc        one threshold, in expectation
    scrc       accept, then control: SCRC-T in expectation, SCRC-I with probability 1 - delta

Needs scipy; what only applies a threshold does not import this room.
"""

from stage1.conformal.binomial import (
    certifiable_misses,
    certifiable_misses_each,
    fnr_upper_bound,
    ltt,
    p_values,
    positives_needed,
)
from stage1.conformal.clusters import Bound, Effective, effective, korn_graubard, upper_bound
from stage1.conformal.crc import allowed_losses, crc_threshold
from stage1.conformal.scrc import ScrcThresholds, scrc_i, scrc_i_needs, scrc_t

__all__ = [
    "Bound",
    "Effective",
    "ScrcThresholds",
    "allowed_losses",
    "certifiable_misses",
    "certifiable_misses_each",
    "crc_threshold",
    "effective",
    "fnr_upper_bound",
    "korn_graubard",
    "ltt",
    "p_values",
    "positives_needed",
    "scrc_i",
    "scrc_i_needs",
    "scrc_t",
    "upper_bound",
]
