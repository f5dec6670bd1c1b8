"""Data over a server that fails every third request in every way: the same manifest, the same epoch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stage1.data import SPLITS, ImageBatches, Preprocessing, SplitConfig, make_split
from stage1.data.packing import pack
from stage1.training.batches import Sampler
from tests.servers.faults import KINDS, Kind, faults_before
from tests.servers.minio import MinioServer


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_split_packed_and_fed_through_faults(
    minio: MinioServer,
    picture: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
) -> None:
    minio.use(monkeypatch)
    bucket = minio.new_bucket()
    folder = tmp_path / "photos"
    for seed in range(24):
        path = folder / ("roadwork" if seed % 3 == 0 else "clear") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(seed))
        minio.client.fput_object(bucket, f"photos/{path.relative_to(folder)}", str(path))
    local, _ = make_split(str(folder), SplitConfig())
    preprocessing = Preprocessing(image_size=8)
    expected = ImageBatches(local.rows(*SPLITS, allowed=SPLITS), preprocessing, 0).take(np.arange(24))
    with faults_before(minio.endpoint) as faults:
        faults.silence_s = 0.05
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.endpoint)
        faults.begin(dict.fromkeys(range(2, 1000, 3), kind))
        remote, report = make_split(f"s3://{bucket}/photos", SplitConfig())
        assert remote.table.equals(local.table)
        assert report["skipped"] == [], "a fault of the store is no bad image"
        pack(remote, f"s3://{bucket}/shards", megapixels=8 * 64 / 1e6)
        rows = remote.rows(*SPLITS, allowed=SPLITS)
        for shards in ("", f"s3://{bucket}/shards"):
            before = faults.requests
            seen = np.zeros(24, int)
            for batch in Sampler(ImageBatches(rows, preprocessing, 0, shards=shards), 5, seed=0).epoch(0):
                assert np.array_equal(batch.images_bHW3.numpy(), expected[batch.rows_B])
                seen[batch.rows_B] += 1
            assert (seen == 1).all()
            assert faults.requests > before + 3
