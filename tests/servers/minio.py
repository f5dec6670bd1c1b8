"""A real MinIO server for the tests: one a process (so one a worker of xdist), on a free port, gone at the end."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import MinioException

_NAMES = (
    "AWS_ACCESS_KEY",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "MINIO_ACCESS_KEY",
    "MINIO_ENDPOINT",
    "MINIO_REGION",
    "MINIO_SECRET_KEY",
)


@dataclass
class MinioServer:
    """A running server.

    Attributes:
        endpoint: http://127.0.0.1:PORT
        access_key: Of its root user.
        secret_key: Of its root user.
        region: What requests are signed for.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @property
    def client(self) -> Minio:
        """minio-py's own client: another way to look at what our code wrote."""
        return self.client_over(_patient())

    def client_over(self, http: urllib3.PoolManager) -> Minio:
        """minio-py's client over these connections."""
        scheme, _, host = self.endpoint.partition("://")
        secure = scheme == "https"
        return Minio(host, self.access_key, self.secret_key, secure=secure, region=self.region, http_client=http)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which stage1 finds this server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this test and the processes that it starts find this server, and no other."""
        forget(monkeypatch)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client.make_bucket(name)
        return name


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away whatever tells this process of an S3 service."""
    for name in (*_NAMES, *MinioServer("", "", "").environment):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def minio_binary() -> str:
    """Return the server's path, from the PATH or from where `make minio` puts it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = shutil.which("minio", path=os.pathsep.join([os.environ.get("PATH", ""), str(cache / "stage1-tools/bin")]))
    if found is None:
        pytest.fail("The storage tests need a MinIO server: run `make minio`.")
    return found


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_minio(
    folder: Path, extra: Mapping[str, str] | None = None, scheme: str = "http"
) -> tuple[subprocess.Popen[bytes], MinioServer]:
    """Start a server that keeps its objects in `folder`; the caller ends the process.

    Args:
        folder: Its disk; certificates for TLS in folder/certs.
        extra: Environment variables beside the usual ones.
        scheme: https where folder/certs holds public.crt and private.key.
    """
    for _ in range(5):
        address = f"127.0.0.1:{free_port()}"
        server = MinioServer(f"{scheme}://{address}", "stage1test", secrets.token_hex(16))
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "MINIO_ROOT_USER": server.access_key,
            "MINIO_ROOT_PASSWORD": server.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_CI_CD": "1",
            **(extra or {}),
        }
        command = [minio_binary(), "server", "--quiet", "--address", address, "--certs-dir", str(folder / "certs")]
        with (folder / "minio.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, str(folder / "disk")], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if _ready(process, server, folder / "certs/public.crt"):
            return process, server
        process.kill()
        process.wait()
    raise RuntimeError(f"MinIO does not start: {(folder / 'minio.log').read_text()[-2000:]}")


def _patient() -> urllib3.PoolManager:
    """MinIO refuses with "Retry-After: 60" what it could do in a moment; urllib3 would sleep that minute."""
    retries = urllib3.Retry(
        total=8, backoff_factor=0.05, status_forcelist=[500, 502, 503, 504], respect_retry_after_header=False
    )
    return urllib3.PoolManager(retries=retries, timeout=30)


def _ready(process: subprocess.Popen[bytes], server: MinioServer, certificate: Path) -> bool:
    """Wait until a signed request is answered: the health check says yes while the users are still being loaded."""
    deadline = time.monotonic() + 30
    trust = {"ca_certs": str(certificate)} if server.endpoint.startswith("https") else {}
    with urllib3.PoolManager(retries=False, timeout=5, **trust) as http:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                server.client_over(http).list_buckets()
                return True
            except (urllib3.exceptions.HTTPError, MinioException):
                time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def minio() -> Iterator[MinioServer]:
    """A MinIO server of this test process's own."""
    folder = Path(tempfile.mkdtemp(prefix="stage1-minio-"))
    process = None
    try:
        process, server = start_minio(folder)
        yield server
    finally:
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
