"""What every step has in common: checked inputs, an output that is whole or absent, reuse by content, events.

A step is a plain function of folders, `step(<inputs: Path>..., out: Path, *, config: Section) -> Result`. Decorated, it
- verifies every input folder against its step.json, and that all come from one data set;
- writes to a temporary folder beside its cache or output and renames it when it is complete;
- reuses an earlier result of the same code, configuration and inputs from the folder $STAGE1_CACHE, if that is set;
- keeps what it needs to go on after an interruption (`resume_folder`) until it is complete;
- tells its watcher (stage1.events) when it starts, ends or fails.
"""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel, ValidationError

from stage1.errors import BadArtifact, BadConfig
from stage1.steps.artifact import Artifact, code_digest, digest_json, read_artifact, write_record
from stage1.steps.place import deliver, earlier_result, finish, fresh_work_folder, home_of, must_be_replaceable
from stage1.steps.telling import told


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What a step returns: numbers and words, never arrays; the files are in its output folder."""

    def metrics(self) -> dict[str, float]:
        """The finite numbers among the fields, for whoever plots them."""
        numbers = {
            field.name: float(value)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), int | float)
        }
        return {name: value for name, value in numbers.items() if math.isfinite(value)}


P = ParamSpec("P")
R = TypeVar("R", bound=StepResult)
Step = Callable[..., StepResult]


def step(
    *, reuse: bool = True, state: Callable[[Any], Any] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a step of a function.

    Args:
        reuse: Whether an earlier result may stand in; False for steps that look at or change the world outside.
        state: What else the result depends on, from the step's config; part of the fingerprint.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        name = function.__name__
        result_type = cast(type[R], signature.return_annotation)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            out = Path(bound.arguments["out"])
            with told(name, out) as outcome:
                if out.exists():
                    must_be_replaceable(out)
                inputs, record = _identify(name, bound.arguments, state)
                home = home_of(name, record["fingerprint"], out)
                if reuse and (found := earlier_result(home, record["fingerprint"])) is not None:
                    outcome["cached"] = True
                    deliver(home, out)
                    return result_type(**found["result"])
                work = fresh_work_folder(home)
                bound.arguments["out"] = work
                bound.arguments.update({key: artifact.folder for key, artifact in inputs.items()})
                result = function(*bound.args, **bound.kwargs)
                data_digest = record["data_digest"] or getattr(result, "data_digest", "")
                write_record(work, {**record, "data_digest": data_digest, "result": dataclasses.asdict(result)})
                finish(work, home, out)
                return result

        return run

    return decorate


def read_config(function: Step, text: str) -> Any:
    """Read a step's configuration section from JSON; "" gives the defaults.

    Raises:
        BadConfig: Not JSON, an unknown field or an impossible value; names the field.
    """
    default: BaseModel = inspect.signature(function).parameters["config"].default
    try:
        return type(default).model_validate(json.loads(text) if text else {})
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'config'}: {item['msg']}" for item in error.errors())
        raise BadConfig(f"configuration of step {function.__name__}: {lines}") from error
    except ValueError as error:
        raise BadConfig(f"configuration of step {function.__name__} is not JSON: {error}") from error


def _identify(
    name: str, arguments: dict[str, Any], state: Callable[[Any], Any] | None
) -> tuple[dict[str, Artifact], dict[str, Any]]:
    """Check the inputs; return them and the part of step.json that says what the step is about to do."""
    config: BaseModel = arguments["config"]
    inputs = {
        key: read_artifact(Path(value), key)
        for key, value in arguments.items()
        if isinstance(value, Path) and key != "out"
    }
    data_digests = {artifact.data_digest: key for key, artifact in inputs.items()}
    if len(data_digests) > 1:
        one, other = list(data_digests.values())[:2]
        raise BadArtifact(
            f"step {name}: {one} and {other} were made from different data sets. Give folders of one run."
        )
    texts = {key: value for key, value in arguments.items() if isinstance(value, str)}
    record = {
        "step": name,
        "config": config.model_dump(mode="json"),
        "inputs": {key: artifact.digest for key, artifact in inputs.items()},
    }
    counted = config.model_dump(mode="json", exclude=set(getattr(config, "BESIDES", ())))
    identity = {**record, "config": counted, "code": code_digest(), "texts": texts, "state": state and state(config)}
    fingerprint = digest_json(identity)
    return inputs, {**record, "fingerprint": fingerprint, "data_digest": next(iter(data_digests), "")}
