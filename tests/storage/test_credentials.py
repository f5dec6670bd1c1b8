"""Who we are to a service, from each place where it may stand, shown on a real MinIO server."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from minio.credentials.providers import AssumeRoleProvider

from stage1.errors import StorageError
from stage1.storage import open_store
from tests.servers.minio import MinioServer, forget


@pytest.fixture
def bucket(minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of a server whose address is known and whose keys are not."""
    forget(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", minio.endpoint)
    monkeypatch.setenv("AWS_REGION", minio.region)
    monkeypatch.setenv("HOME", str(tmp_path))
    return minio.new_bucket()


def works(bucket: str) -> bool:
    store = open_store(f"s3://{bucket}/p")
    store.put_new("a", b"1")
    return store.get("a").data == b"1"


def profile(name: str, access: str, secret: str, token: str = "") -> str:
    session = f"aws_session_token = {token}\n" if token else ""
    return f"[{name}]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n{session}"


def test_keys_in_minios_own_variables(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_ACCESS_KEY", minio.access_key)
    monkeypatch.setenv("MINIO_SECRET_KEY", minio.secret_key)
    assert works(bucket)


def test_aws_variables_come_before_minios(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MINIO_ACCESS_KEY", "nobody")
    monkeypatch.setenv("MINIO_SECRET_KEY", "wrong")
    assert works(bucket)


def test_the_default_profile_of_the_home_folder(bucket: str, minio: MinioServer, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(profile("default", minio.access_key, minio.secret_key))
    assert works(bucket)


def test_a_named_profile_of_a_named_file(
    bucket: str, minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = profile("default", "nobody", "wrong") + profile("street", minio.access_key, minio.secret_key)
    (tmp_path / "mine").write_text(text)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "mine"))
    with pytest.raises(StorageError, match="HTTP 403 InvalidAccessKeyId"):
        works(bucket)
    monkeypatch.setenv("AWS_PROFILE", "street")
    assert works(bucket)


def test_the_endpoint_of_a_profile(
    bucket: str, minio: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(profile("street", minio.access_key, minio.secret_key))
    (tmp_path / ".aws/config").write_text(f"[profile street]\nendpoint_url = {minio.endpoint}\nregion = us-east-1\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_PROFILE", "street")
    assert works(bucket)


@pytest.mark.parametrize("text", ["", "[other]\n", "[default]\naws_access_key_id = only\n", "no settings at all"])
def test_no_credentials_anywhere_says_what_to_set(bucket: str, tmp_path: Path, text: str) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(text)
    with pytest.raises(StorageError, match=r"No credentials .* Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        works(bucket)


def test_a_wrong_secret_is_not_repeated(
    bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-real-secret")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StorageError, match=r"HTTP 403 SignatureDoesNotMatch\. Check the credentials") as raised:
        works(bucket)
    assert "not-the-real-secret" not in str(raised.value) + caplog.text


def test_secrets_stand_in_no_log(
    bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in minio.environment.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")  # the Kubernetes clients turn this one down when they are made
    assert works(bucket)
    assert bucket in caplog.text, "requests are logged at this level"
    assert minio.secret_key not in caplog.text
    assert "Signature=" not in caplog.text


class TestWebIdentity:
    """A small stand-in hands out real temporary keys of the MinIO server: MinIO's own needs an OpenID provider."""

    TOKEN = "eyJhbGciOiJSUzI1NiJ9.a-web-identity-token.signature"

    @contextmanager
    def sts(self, minio: MinioServer, status: int = 200) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        real = AssumeRoleProvider(
            sts_endpoint=minio.endpoint, access_key=minio.access_key, secret_key=minio.secret_key, region=minio.region
        ).retrieve()
        answer = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{real.access_key}</AccessKeyId><SecretAccessKey>{real.secret_key}</SecretAccessKey>"
            f"<SessionToken>{real.session_token}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ).encode()
        seen: list[tuple[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                seen.append((self.path, body))
                data = answer if status == 200 else f"<Error>{body}</Error>".encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @pytest.fixture
    def environment(self, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        (tmp_path / "token").write_text(self.TOKEN)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/stage1")
        return bucket

    def test_a_token_becomes_keys_that_work(
        self,
        environment: str,
        minio: MinioServer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with self.sts(minio) as (endpoint, seen):
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint)
            assert works(environment)
        assert len(seen) == 1, "keys are kept until they are about to expire"
        path, body = seen[0]
        form = parse_qs(body)
        assert form["Action"] == ["AssumeRoleWithWebIdentity"]
        assert form["RoleArn"] == ["arn:aws:iam::1:role/stage1"]
        assert form["WebIdentityToken"] == [self.TOKEN]
        assert self.TOKEN not in path + caplog.text

    def test_a_token_that_is_refused_is_not_repeated(
        self,
        environment: str,
        minio: MinioServer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with self.sts(minio, status=403) as (endpoint, seen):
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endpoint)
            with pytest.raises(StorageError, match="No credentials") as raised:
                works(environment)
        assert len(seen) == 1, "a refusal is not asked for again"
        assert self.TOKEN not in str(raised.value) + caplog.text
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
