"""A real Kubernetes API server on its etcd for the tests: one a session, on free ports, gone at the end.

No kubelet and no controllers: what is asked is what the API server decides (admission, conflicts, RBAC), as with
envtest.
"""

import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client, dynamic

from tests.servers.minio import free_port

START_S = 120


@dataclass(frozen=True)
class KubernetesServer:
    """A running API server.

    endpoint: https://127.0.0.1:PORT; token: of a member of system:masters; ca: its certificate; kubeconfig: a file that
    kubectl, helm and the Python client read.
    """

    endpoint: str
    token: str
    ca: Path
    kubeconfig: Path

    def api(self, token: str = "") -> client.ApiClient:
        """Return a client, as admin or as whom a token names."""
        settings = client.Configuration(host=self.endpoint)
        settings.ssl_ca_cert = str(self.ca)
        settings.api_key["authorization"] = f"Bearer {token or self.token}"
        return client.ApiClient(settings)

    @property
    def core(self) -> client.CoreV1Api:
        """The core API, as admin."""
        return client.CoreV1Api(self.api())

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        """Apply objects as `kubectl apply --server-side` does, with unknown fields refused."""
        known = dynamic.DynamicClient(self.api())
        for each in objects:
            kind = known.resources.get(api_version=each["apiVersion"], kind=each["kind"])
            known.server_side_apply(
                kind,
                each,
                name=each["metadata"]["name"],
                namespace=each["metadata"].get("namespace"),
                field_manager="tests",
                query_params=[("fieldValidation", "Strict")],
            )

    def install(self, module: str, path: str) -> None:
        """Install the CRD that a Go module holds, and wait until it is served.

        Args:
            module: name@version.
            path: Of the CRD's YAML file in the module.
        """
        told = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True)
        crd = yaml.safe_load((Path(json.loads(told.stdout)["Dir"]) / path).read_text())
        crd["spec"].pop("conversion", None)  # its webhook does not run here
        self.apply([crd])
        extensions = client.ApiextensionsV1Api(self.api())
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            status = extensions.read_custom_resource_definition(crd["metadata"]["name"]).status
            if any(each.type == "Established" and each.status == "True" for each in status.conditions or []):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{crd['metadata']['name']} was not established")


def _needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(f"These tests need {program} on the PATH; `make test` gets it.")
    return found


def _wait(process: subprocess.Popen[bytes], log: Path, url: str, ca: Path | None = None) -> None:
    pool = urllib3.PoolManager(ca_certs=str(ca) if ca else None, retries=False, timeout=2)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            if pool.request("GET", url).status == 200:
                return
        except (urllib3.exceptions.HTTPError, OSError):
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{process.args[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")  # type: ignore[index]


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[KubernetesServer]:
    """A running API server with Pod Security admission and RBAC."""
    etcd, apiserver = _needed("etcd"), _needed("kube-apiserver")
    folder = Path(tempfile.mkdtemp(prefix="stage1-apiserver-"))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "sa.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},admin,1,"system:masters"\n')
    ports = [free_port() for _ in range(3)]
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *command: str) -> subprocess.Popen[bytes]:
        with (folder / f"{name}.log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1]

    try:
        database = start(
            "etcd",
            etcd,
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{ports[0]}",
            f"--advertise-client-urls=http://127.0.0.1:{ports[0]}",
            f"--listen-peer-urls=http://127.0.0.1:{ports[1]}",
            "--unsafe-no-fsync",
        )
        _wait(database, folder / "etcd.log", f"http://127.0.0.1:{ports[0]}/health")
        server = start(
            "kube-apiserver",
            apiserver,
            f"--etcd-servers=http://127.0.0.1:{ports[0]}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports[2]}",
            f"--cert-dir={folder / 'certs'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://stage1.test",
            f"--service-account-key-file={folder / 'sa.key'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",  # as most clusters have it; Pod Security is what refuses
        )
        endpoint, certificate = f"https://127.0.0.1:{ports[2]}", folder / "certs" / "apiserver.crt"
        end = time.monotonic() + START_S
        while not certificate.exists() and server.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        _wait(server, folder / "kube-apiserver.log", f"{endpoint}/readyz", certificate)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "clusters": [
                        {"name": "test", "cluster": {"server": endpoint, "certificate-authority": str(certificate)}}
                    ],
                    "users": [{"name": "admin", "user": {"token": token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                }
            )
        )
        yield KubernetesServer(endpoint, token, certificate, kubeconfig)
    finally:
        for process in reversed(started):  # nothing of it is kept, so nothing needs a farewell
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
