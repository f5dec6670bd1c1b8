"""Finite-sample promises about misses: conformal risk control, selective conformal risk control, exact binomials.

    binomial   Clopper-Pearson, samples needed, fixed-sequence testing (ltt): with probability 1 - delta
    clusters   the same for images in groups (Korn-Graubard), approximate
    bentkus    the same for losses between 0 and 1 (Hoeffding-Bentkus)
    crc        one threshold, in expectation
    scrc       accept, then control: SCRC-T, in expectation
    scrc_i     accept, then control: SCRC-I, with probability 1 - delta

Samples needed before anything can be promised: `positives_needed` (Clopper-Pearson, ltt), `hoeffding_bentkus_needs`,
`crc_needs` (also SCRC-T's accepted positives), `scrc_i_needs`, `scrc_i_v2_needs`.

Needs scipy; what only applies a threshold does not import this room.
"""

from stage1.conformal.bentkus import (
    hoeffding_bentkus_bound,
    hoeffding_bentkus_needs,
    hoeffding_bentkus_p_values,
)
from stage1.conformal.binomial import (
    certifiable_misses,
    certifiable_misses_each,
    fnr_upper_bound,
    ltt,
    p_values,
    positives_needed,
)
from stage1.conformal.clusters import Bound, Effective, effective, korn_graubard, upper_bound
from stage1.conformal.crc import allowed_losses, crc_needs, crc_threshold
from stage1.conformal.scrc import ScrcThresholds, scrc_t
from stage1.conformal.scrc_i import scrc_i, scrc_i_needs, scrc_i_v2, scrc_i_v2_needs

__all__ = [
    "Bound",
    "Effective",
    "ScrcThresholds",
    "allowed_losses",
    "certifiable_misses",
    "certifiable_misses_each",
    "crc_needs",
    "crc_threshold",
    "effective",
    "fnr_upper_bound",
    "hoeffding_bentkus_bound",
    "hoeffding_bentkus_needs",
    "hoeffding_bentkus_p_values",
    "korn_graubard",
    "ltt",
    "p_values",
    "positives_needed",
    "scrc_i",
    "scrc_i_needs",
    "scrc_i_v2",
    "scrc_i_v2_needs",
    "scrc_t",
    "upper_bound",
]
