"""Fit the three exit policies on val_calib, and say which one ships.

The parts keep the names that users of this field know: the threshold sweep (softmax), gate calibration (Platt) and SCRC
calibration (Dirichlet and two thresholds).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stage1.data.predictions import PredictionTable
from stage1.policy import (
    POLICIES,
    CalibrateConfig,
    ExitPolicy,
    PolicyName,
    Predictions,
    choose,
    coverage,
    fit,
    write_policy,
)
from stage1.steps.documents import write_json
from stage1.steps.step import StepResult, step


@dataclass(frozen=True)
class Calibrated(StepResult):
    """The policy that ships, and the share of val_calib that each one answers."""

    chosen: str
    feasible: dict[str, bool]
    coverage: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """Coverage on val_calib of each policy."""
        return {f"coverage_{name}": value for name, value in self.coverage.items()}


@step()
def calibrate(predictions: Path, out: Path, *, config: CalibrateConfig = CalibrateConfig()) -> Calibrated:
    """Fit all three policies and choose one.

    Args:
        predictions: Output folder of the predict step; only its val_calib rows are seen.
        out: Receives softmax/thresholds.json, gate/gateparams.json, scrc/scrcparams.json and policies.json.
        config: Constraint, exit policy, aim.
    """
    return _fit(predictions, out, config, POLICIES, exit_policy=config.exit_policy)


@step()
def calibrate_sweep(predictions: Path, out: Path, *, config: CalibrateConfig = CalibrateConfig()) -> Calibrated:
    """Fit the threshold sweep alone: two thresholds on the logit margin, every distinct score a candidate."""
    return _fit(predictions, out, config, ("softmax",), exit_policy="softmax")


@step()
def calibrate_gate(predictions: Path, out: Path, *, config: CalibrateConfig = CalibrateConfig()) -> Calibrated:
    """Fit the gate policy alone: Platt on the gate logit, then a threshold by fixed-sequence testing."""
    return _fit(predictions, out, config, ("gate",), exit_policy="gate")


@step()
def calibrate_scrc(predictions: Path, out: Path, *, config: CalibrateConfig = CalibrateConfig()) -> Calibrated:
    """Fit selective conformal risk control alone: Dirichlet calibration, acceptance, prediction sets."""
    return _fit(predictions, out, config, ("scrc",), exit_policy="scrc")


def _fit(
    predictions: Path, out: Path, config: CalibrateConfig, names: Iterable[PolicyName], *, exit_policy: str
) -> Calibrated:
    table = PredictionTable.read(predictions / "predictions.parquet").split("val_calib", allowed=("val_calib",))
    rows = Predictions(table.logits_N2, table.labels_N, table.numbers_N("gate"), table.strings_N("group"))
    policies: dict[str, ExitPolicy] = {name: fit(name, rows, config) for name in names}
    for policy in policies.values():
        write_policy(policy, out)
    result = Calibrated(
        chosen=choose(policies, rows, exit_policy),
        feasible={name: policy.feasible for name, policy in policies.items()},
        coverage={name: coverage(policy, rows) for name, policy in policies.items()},
    )
    summary = {
        name: {
            "file": policy.file,
            "feasible": policy.feasible,
            "reason": policy.reason,
            "promise": policy.promise,
            "coverage": result.coverage[name],
        }
        for name, policy in policies.items()
    }
    write_json(out / "policies.json", {"schema": "stage1/policies/v1", "chosen": result.chosen, "policies": summary})
    return result
