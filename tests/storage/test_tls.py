"""TLS is verified: a server whose certificate nobody vouches for is refused until somebody does."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stage1.errors import BadConfig, StorageError
from stage1.storage import open_store
from tests.servers.minio import MinioServer, start_minio


def make_certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 that vouches for itself, and its key."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stage1 test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "public.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "private.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "public.crt"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MinioServer, Path, str]]:
    """A server, its certificate and a bucket."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder / "certs")
    process, server = start_minio(folder, scheme="https")
    try:
        with urllib3.PoolManager(ca_certs=str(certificate)) as http:
            server.client_over(http).make_bucket("secure")
        yield server, certificate, "s3://secure/p"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(served: tuple[MinioServer, Path, str], monkeypatch: pytest.MonkeyPatch) -> MinioServer:
    served[0].use(monkeypatch)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return served[0]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: MinioServer, served: tuple[MinioServer, Path, str]
) -> None:
    with pytest.raises(StorageError, match=r"TLS failed \(certificate not trusted\)\. Name .* in AWS_CA_BUNDLE"):
        open_store(served[2]).put_new("a", b"1")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_with_the_servers_authority_it_works(
    server: MinioServer, served: tuple[MinioServer, Path, str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(served[1]))
    store = open_store(f"{served[2]}/{variable.lower()}")
    store.put_new("a", b"1")
    assert store.get("a").data == b"1"


def test_another_authority_does_not_do(
    server: MinioServer,
    served: tuple[MinioServer, Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(make_certificate(tmp_path / "other")))
    with pytest.raises(StorageError, match="certificate not trusted"):
        open_store(served[2]).list()


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_said(
    server: MinioServer,
    served: tuple[MinioServer, Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
) -> None:
    if text is not None:
        (tmp_path / "ca.pem").write_text(text)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(BadConfig, match=r"certificate authorities in .*ca\.pem"):
        open_store(served[2]).list()
