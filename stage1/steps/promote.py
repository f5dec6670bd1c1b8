"""Publish a bundle under its digest and move the channel to it, in one compare-and-set."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stage1.bundle import promote as publish
from stage1.bundle import verify
from stage1.bundle.keys import PUBLIC_KEY, read_public_keys
from stage1.config import PromoteConfig
from stage1.errors import PromotionRefused
from stage1.steps.documents import write_json
from stage1.steps.registering import record_of
from stage1.steps.signing import key_to_verify
from stage1.steps.step import StepResult, step
from stage1.storage import open_store
from stage1.tracking import register_model

_LOAD = """
import sys
from stage1.bundle import Bundle
from stage1.bundle.keys import public_key_from
print(Bundle.load(sys.argv[1], public_key_from()).digest)
"""


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

    Where a public key is given, by the configuration or by $STAGE1_PUBLIC_KEY, the bundle must be signed with it.
    MLflow hears of the promotion last: whether it does changes nothing.

    Args:
        bundle: Output folder of the export step.
        out: Receives promoted.json and mlflow/ (the record as it is sent).
        config: Store, channel, signature, tracking.

    Raises:
        BundleRejected: The bundle does not load, does not reproduce its canaries, carries no decision that says yes, or
            is not signed with the given key.
        BadConfig: Signatures are required, and no public key is given.
        PromotionRefused: The channel takes signed bundles only, and no public key is given.
        BadInput: What is given as public key is none.
        Conflict: Another promotion was first; this model was not judged against that champion.
    """
    folder = bundle / "bundle"
    key = key_to_verify(config.signature, config.public_key)
    if key:
        read_public_keys(key)  # one that is none is said as that, not as a fault of the bundle
    manifest = verify(folder, key).manifest
    loaded = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _LOAD, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, PUBLIC_KEY: key or ""},
    )
    if loaded.returncode or loaded.stdout.strip() != manifest.digest:
        raise PromotionRefused(f"a fresh process could not load the bundle: {loaded.stderr.strip()[-500:]}")
    store = open_store(config.store)
    published = publish(store, config.channel, folder, public_key=key, signature=config.signature)
    uri = store.uri_of(f"channels/{config.channel}.json")
    version = register_model(config.tracking, record_of(published, manifest), out)
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
