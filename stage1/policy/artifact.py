"""Policies as files: which class reads which schema, and how an artifact is read and written."""

import json
from pathlib import Path
from typing import Any

from stage1.errors import BadArtifact
from stage1.policy.base import ExitPolicy
from stage1.policy.config import PolicyName
from stage1.policy.gate import GatePolicy
from stage1.policy.scrc import ScrcPolicy
from stage1.policy.softmax import SoftmaxPolicy

POLICIES: dict[PolicyName, type[ExitPolicy]] = {kind.name: kind for kind in (SoftmaxPolicy, GatePolicy, ScrcPolicy)}
POLICY_FILES: dict[PolicyName, str] = {name: kind.file for name, kind in POLICIES.items()}


def load_policy(source: Path | str | dict[str, Any]) -> ExitPolicy:
    """Return the policy of an artifact: a JSON file, or its parsed content. Its `schema` field says which it is.

    Raises:
        BadArtifact: With the file and the field that is wrong.
    """
    data = source if isinstance(source, dict) else _read(Path(source))
    for kind in POLICIES.values():
        if data.get("schema") == kind.model_fields["schema_id"].default:
            return kind.from_json(data)
    known = ", ".join(str(kind.model_fields["schema_id"].default) for kind in POLICIES.values())
    raise BadArtifact(f"schema must be one of {known}; got {data.get('schema')!r}.")


def write_policy(policy: ExitPolicy, folder: Path) -> Path:
    """Write the artifact to its usual place under `folder` and return the path."""
    path = folder / policy.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(policy), encoding="utf-8")
    return path


def dumps(policy: ExitPolicy) -> str:
    """Return the artifact's text: the same policy always gives the same bytes."""
    return json.dumps(policy.to_json(), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BadArtifact(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise BadArtifact(f"{path} is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BadArtifact(f"{path} needs a JSON object, got {type(data).__name__}.")
    return data
