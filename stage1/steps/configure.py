"""Compose the configuration once, before anything is computed, and hand every step its section."""

import json

from stage1.config import Config
from stage1.errors import BadConfig, BadInput, Conflict
from stage1.steps import STEPS
from stage1.steps.run_id import run_id
from stage1.steps.signing import key_to_verify


def configure(preset: str = "demo", config: str = "", overrides: str = "", claim: str = "") -> dict[str, str]:
    """Return the JSON text of every step's configuration, by step.

    Args:
        preset: Where to begin: demo or full; "" begins with the defaults.
        config: YAML text whose fields replace the preset's.
        overrides: Single fields on top, one `a.b=c` a line, or a JSON list of such strings.
        claim: What this run trains, a key in the store under retrain/; empty claims nothing.

    Raises:
        BadConfig: Names the field and what is allowed; or signatures are required and there is no key to verify them.
        BadInput: Another run holds the claim.
    """
    composed = Config.compose(preset, config, _lines(overrides))
    key_to_verify(composed.promote.signature, composed.promote.public_key)
    if claim:
        _hold(claim, composed.promote.store, run_id())
    return {name: str(getattr(composed, name).model_dump_json()) for name in STEPS}


def _hold(claim: str, store_uri: str, own: str) -> None:
    """Write this run's id under the claim, create-only; a run that is tried again holds its claim already."""
    from stage1.storage import open_store

    store, key = open_store(store_uri), f"retrain/{claim}.json"
    if not own:
        raise BadInput(
            "A claim needs the run's id in STAGE1_RUN_ID; run through Kubeflow or `python -m pipelines run`."
        )
    try:
        store.put_new(key, json.dumps({"schema": "stage1/claim/v1", "run": own}).encode())
    except Conflict:
        holder = json.loads(store.get(key, max_bytes=10_000).data).get("run")
        if holder != own:
            raise BadInput(f"Run {holder} trains this already ({key} in {store_uri}); this run ends.") from None


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
