"""Fit the three exit policies on val_calib, and say which one ships.

The parts keep the names that users of this field know: the threshold sweep (softmax), gate calibration (Platt) and SCRC
calibration (Dirichlet and two thresholds).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stage1.policy import (
    POLICIES,
    CalibrateConfig,
    ExitPolicy,
    PolicyName,
    Predictions,
    choose,
    coverage,
    fit,
    price,
    price_columns,
    write_policy,
)
from stage1.steps.calibration_rows import calibration_rows
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
        predictions: Output folder of the predict step; promises rest on its val_calib rows alone, plans on val_select.
        out: Receives softmax/thresholds.json, gate/gateparams.json, scrc/scrcparams.json, policies.json, and
            prices.json and prices.parquet: what each policy would answer at other limits of FNR.
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
    seen = calibration_rows(predictions / "predictions.parquet")
    rows, planning = seen["val_calib"], seen["val_select"] if len(seen["val_select"]) else None
    policies: dict[PolicyName, ExitPolicy] = {name: fit(name, rows, config, planning) for name in names}
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
    _write_prices(out, policies, rows, config, planning)
    return result


def _write_prices(
    out: Path,
    policies: Mapping[PolicyName, ExitPolicy],
    rows: Predictions,
    config: CalibrateConfig,
    planning: Predictions | None,
) -> None:
    """Write the same table twice: as JSON columns, and as parquet."""
    table = price_columns(price(policies, rows, config, planning))
    write_json(out / "prices.json", {"schema": "stage1/prices/v1", "split": "val_calib", "columns": table})
    types = {"policy": pa.string(), "feasible": pa.bool_(), "answered_positives": pa.int64(), "misses": pa.int64()}
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in table])
    pq.write_table(pa.table(table, schema=schema), out / "prices.parquet", compression="zstd")
