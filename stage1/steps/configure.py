"""Compose the configuration once, before anything is computed, and hand every step its section."""

import json

from stage1.config import Config
from stage1.errors import BadConfig
from stage1.steps import STEPS
from stage1.steps.signing import key_to_verify


def configure(preset: str = "demo", config: str = "", overrides: str = "") -> dict[str, str]:
    """Return the JSON text of every step's configuration, by step.

    Args:
        preset: Where to begin: demo or full; "" begins with the defaults.
        config: YAML text whose fields replace the preset's.
        overrides: Single fields on top, one `a.b=c` a line, or a JSON list of such strings.

    Raises:
        BadConfig: Names the field and what is allowed; or signatures are required and there is no key to verify them.
    """
    composed = Config.compose(preset, config, _lines(overrides))
    key_to_verify(composed.promote.signature, composed.promote.public_key)
    return {name: str(getattr(composed, name).model_dump_json()) for name in STEPS}


def _lines(overrides: str) -> list[str]:
    if not overrides.strip().startswith("["):
        return [line.strip() for line in overrides.splitlines() if line.strip()]
    try:
        lines = json.loads(overrides)
    except ValueError as error:
        raise BadConfig(f"overrides is not a JSON list of 'a.b=c' strings: {error}") from error
    if not all(isinstance(line, str) for line in lines):
        raise BadConfig(f"overrides must be a list of 'a.b=c' strings, got {lines!r}.")
    return list(lines)
