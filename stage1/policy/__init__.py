"""The three exit policies: fit on val_calib, decide anywhere, to and from JSON.

    softmax  two thresholds on the margin (threshold sweep)     softmax/thresholds.json
    gate     the model's own gate, Platt-scaled                 gate/gateparams.json
    scrc     Dirichlet + selective conformal risk control       scrc/scrcparams.json

    policy = SoftmaxPolicy.fit(predictions, Constraint(max_fnr=0.02))
    policy.decide(logits).answered

Deciding and loading need numpy, pydantic and jsonschema alone; fitting (stage1.policy.fitting) and planning import
scipy when they are called.
"""

from stage1.policy.artifact import POLICIES, POLICY_FILES, dumps, load_policy, write_policy
from stage1.policy.base import Evidence, ExitPolicy
from stage1.policy.choose import choose, coverage, fit, fit_all
from stage1.policy.config import Aim, CalibrateConfig, Constraint, PolicyName, ScrcOptions
from stage1.policy.gate import GatePolicy
from stage1.policy.plan import Plan, PlanRow, aimed_misses, certify_probability, plan, positives_for_power
from stage1.policy.predictions import Decisions, Predictions
from stage1.policy.price import Price, price, price_columns
from stage1.policy.scrc import ScrcPolicy
from stage1.policy.softmax import SoftmaxPolicy

__all__ = [
    "POLICIES",
    "POLICY_FILES",
    "Aim",
    "CalibrateConfig",
    "Constraint",
    "Decisions",
    "Evidence",
    "ExitPolicy",
    "GatePolicy",
    "Plan",
    "PlanRow",
    "PolicyName",
    "Predictions",
    "Price",
    "ScrcOptions",
    "ScrcPolicy",
    "SoftmaxPolicy",
    "aimed_misses",
    "certify_probability",
    "choose",
    "coverage",
    "dumps",
    "fit",
    "fit_all",
    "load_policy",
    "plan",
    "positives_for_power",
    "price",
    "price_columns",
    "write_policy",
]
