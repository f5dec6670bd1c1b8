"""The JSON files that steps leave for each other."""

import json
from pathlib import Path
from typing import Any

from stage1.errors import BadArtifact


def read_json(path: Path) -> Any:
    """Read one file of a verified step folder.

    Raises:
        BadArtifact: The folder is of another step.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadArtifact(
            f"{path.parent} has no {path.name}: it is the output of another step. Give the right one."
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write deterministic JSON; NaN is refused."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
