"""Publish a bundle under its digest and move the channel to it, in one compare-and-set."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stage1.bundle import promote as publish
from stage1.bundle import verify
from stage1.config import PromoteConfig
from stage1.errors import PromotionRefused
from stage1.steps.documents import write_json
from stage1.steps.step import StepResult, step
from stage1.storage import open_store
from stage1.tracking import register_model

_LOAD = "import sys; from stage1.bundle import Bundle; print(Bundle.load(sys.argv[1]).digest)"


@dataclass(frozen=True)
class Promoted(StepResult):
    """What the channel points at now."""

    digest: str
    channel: str
    sequence: int
    uri: str
    mlflow_version: str


@step(reuse=False)
def promote(bundle: Path, out: Path, *, config: PromoteConfig = PromoteConfig()) -> Promoted:
    """Check the bundle as a consumer would, in a fresh process; then upload it and swap the channel's pointer.

    Args:
        bundle: Output folder of the export step.
        out: Receives promoted.json.
        config: Store, channel, tracking.

    Raises:
        BundleRejected: The bundle does not load, does not reproduce its canaries or carries no decision that says yes.
        Conflict: Another promotion was first; this model was not judged against that champion.
    """
    folder = bundle / "bundle"
    manifest = verify(folder).manifest
    loaded = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _LOAD, str(folder)], capture_output=True, text=True, check=False, timeout=300
    )
    if loaded.returncode or loaded.stdout.strip() != manifest.digest:
        raise PromotionRefused(f"a fresh process could not load the bundle: {loaded.stderr.strip()[-500:]}")
    store = open_store(config.store)
    published = publish(store, config.channel, folder)
    uri = store.uri_of(f"channels/{config.channel}.json")
    version = register_model(
        config.tracking,
        source=published.uri,
        digest=published.digest,
        alias=config.channel,
        run_key=str(manifest.provenance["digests"]["gate"]),
        tags={"sequence": str(published.sequence)},
    )
    promoted = Promoted(published.digest, published.channel, published.sequence, uri, version)
    write_json(
        out / "promoted.json",
        {
            "schema": "stage1/promoted/v1",
            "digest": promoted.digest,
            "channel": promoted.channel,
            "sequence": promoted.sequence,
            "uri": promoted.uri,
            "bundle": published.uri,
            "mlflow_version": promoted.mlflow_version,
        },
    )
    return promoted
