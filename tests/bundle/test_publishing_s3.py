"""Promotion on a real MinIO server, with every request spoiled in turn; and the commands over s3://."""

import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stage1.bundle import Bundle, Channel, promote, rollback, verify
from stage1.cli.channel import app
from stage1.errors import BundleRejected, StorageError
from stage1.storage import open_store
from stage1.storage.retrying import Retrying
from stage1.storage.s3 import S3Store
from stage1.storage.service import Service
from tests.bundle.making import Maker
from tests.bundle.test_publishing import next_bundle
from tests.servers.faults import KINDS, Kind, faults_before
from tests.servers.minio import MinioServer


@pytest.fixture
def bucket(minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    minio.use(monkeypatch)
    monkeypatch.setenv("STAGE1_BUNDLE_CACHE", str(tmp_path / "cache"))
    return minio.new_bucket()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_every_request_gives_one_promotion_or_a_refusal(
    make: Maker, minio: MinioServer, bucket: str, kind: Kind
) -> None:
    """Every request meets a reset, before or after it is carried out; some meet the other faults."""
    folder = make.path()
    digest = verify(folder).digest
    outcomes = []
    fail_at, every = 1, {"503": 3, "short": 3, "silence": 5}.get(kind, 1)
    with faults_before(minio.endpoint) as faults:
        impatient = Retrying(deadline_s=0, silence_s=1 if kind == "silence" else 20)
        faults.silence_s = 1.5
        while not outcomes or faults.requests >= fail_at - every:
            root = secrets.token_hex(4)
            spoiled = S3Store(Service(faults.endpoint, minio.region), bucket, root, impatient)
            faults.begin({fail_at: kind})
            direct = open_store(f"s3://{bucket}/{root}")
            try:
                promote(spoiled, "demo", folder)
                outcomes.append(True)
            except StorageError:
                outcomes.append(False)
            assert len(Channel(direct, "demo").history()) == outcomes[-1]
            assert promote(direct, "demo", folder).digest == digest
            assert [entry.digest for entry in Channel(direct, "demo").history()] == [digest]
            fail_at += every
    assert not outcomes[0], "the first request reads the channel, and one attempt is all there is"
    assert outcomes[-1], "the last round had no fault left to meet"
    assert outcomes.count(False) > 10 // every


PROMOTERS = """
import os, sys
from pathlib import Path
from stage1.bundle import promote
from stage1.storage.retrying import Retrying
from stage1.storage.s3 import S3Store
from stage1.storage.service import Service
endpoint, region, bucket, folder = sys.argv[1:]
for line in sys.stdin:
    if (pid := os.fork()) == 0:
        promote(S3Store(Service(endpoint, region), bucket, line.strip(), Retrying(deadline_s=0)), "demo", Path(folder))
        os._exit(0)
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
"""Starts one promoter for each line, the root of a store; says its process, then how it ended."""


@pytest.mark.parametrize("kind", ["killed before", "killed after"])
def test_a_promoter_that_is_killed_at_any_request_is_finished_by_the_next(
    make: Maker, minio: MinioServer, bucket: str, kind: Kind
) -> None:
    """SIGKILL at every request in turn, and the same promotion once more."""
    folder = make.path()
    digest = verify(folder).digest
    ends: list[int] = []
    with faults_before(minio.endpoint) as faults:
        command = [sys.executable, "-c", PROMOTERS, faults.endpoint, minio.region, bucket, str(folder)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as promoters:
            assert promoters.stdin is not None
            assert promoters.stdout is not None
            while not ends or ends[-1]:
                root = secrets.token_hex(4)
                process = Future[int]()
                faults.begin({len(ends) + 1: kind})
                faults.kill = partial(_kill, process)
                promoters.stdin.write(f"{root}\n")
                promoters.stdin.flush()
                process.set_result(int(promoters.stdout.readline()))
                ends.append(int(promoters.stdout.readline()))
                direct = open_store(f"s3://{bucket}/{root}")
                assert len(Channel(direct, "demo").history()) <= 1
                assert promote(direct, "demo", folder).digest == digest
                assert [entry.digest for entry in Channel(direct, "demo").history()] == [digest]
            promoters.stdin.close()
    assert set(ends[:-1]) == {int(signal.SIGKILL)}
    assert len(ends) > 10
    assert faults.requests == len(ends) - 1, "the last round met every request and no kill"


def _kill(process: Future[int]) -> None:
    os.kill(process.result(timeout=30), signal.SIGKILL)


def test_with_retries_no_single_fault_is_noticed(make: Maker, minio: MinioServer, bucket: str) -> None:
    folder = make.path()
    with faults_before(minio.endpoint) as faults:
        patient = Retrying(deadline_s=30, silence_s=0.3, first_wait_s=0.001)
        for fail_at in range(1, 30, 4):
            root = secrets.token_hex(4)
            store = S3Store(Service(faults.endpoint, minio.region), bucket, root, patient)
            faults.begin({fail_at: "reset after", fail_at + 2: "503"})
            assert promote(store, "demo", folder).changed
            assert len(Channel(store, "demo").history()) == 1


def test_the_commands_work_over_s3(make: Maker, bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/models"
    store = open_store(uri)
    first = promote(store, "demo", next_bundle(make, store)).digest
    second = promote(store, "demo", next_bundle(make, store)).digest
    assert Bundle.load(f"{uri}/channels/demo.json").digest == second

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--store", uri], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert run("list") == "demo\n"
    assert second in run("show", "demo")
    assert first in run("history", "demo")
    assert second in run("verify", "demo")
    assert first in run("rollback", "demo")
    assert Bundle.load(f"{uri}/channels/demo.json").digest == first


def test_a_bundle_that_is_damaged_in_the_bucket_is_not_gone_back_to(
    make: Maker, bucket: str, minio: MinioServer
) -> None:
    import io

    store = open_store(f"s3://{bucket}/models")
    first = promote(store, "demo", next_bundle(make, store)).digest
    second = promote(store, "demo", next_bundle(make, store)).digest
    Bundle.load(f"s3://{bucket}/models/bundles/sha256/{first}")  # a good copy is in the cache now
    key = f"models/bundles/sha256/{first}/README.md"
    size = len(store.get(key.removeprefix("models/")).data)
    minio.client.put_object(bucket, key, io.BytesIO(b"x" * size), size)
    with pytest.raises(BundleRejected, match=r"README\.md"):
        rollback(store, "demo")
    pointer = Channel(store, "demo").read()
    assert pointer is not None
    assert pointer.digest == second
