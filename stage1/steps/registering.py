"""What MLflow is told of a channel that has moved: by a promotion, and by a rollback just the same."""

from stage1 import __version__
from stage1.bundle.manifest import Manifest
from stage1.bundle.publishing import Promoted
from stage1.tracking import Promotion


def record_of(moved: Promoted, manifest: Manifest) -> Promotion:
    """Return the record of what `moved.channel` points at now.

    Args:
        moved: What a promotion or a rollback returned.
        manifest: Of the bundle that it points at.
    """
    return Promotion(
        source=moved.uri,
        digest=moved.digest,
        alias=moved.channel,
        sequence=moved.sequence,
        run_key=str(manifest.provenance.get("digests", {}).get("gate", "")),
        requirement=f"stage1=={__version__}",
        tags={"sequence": str(moved.sequence), "version": manifest.version},
    )
