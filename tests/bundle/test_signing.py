"""Whose a bundle is: signed with model-signing, checked on the very bytes that are used."""

import base64
import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stage1.bundle import Bundle, BundleRejected, read_signing_key, sign, signing_key_from, verify
from stage1.bundle.documents import canonical
from stage1.errors import BadInput
from tests.bundle.attacking import rejected, reseal
from tests.bundle.making import KeyPair, Maker


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, keys: KeyPair) -> Path:
    folder = Maker(tmp_path_factory.mktemp("good")).path()
    sign(folder, read_signing_key(keys.private))
    return folder


@pytest.fixture
def signed(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "signed"))


def test_a_signed_bundle_is_good_and_the_same_bundle(make: Maker, keys: KeyPair) -> None:
    folder = make.path()
    before = verify(folder)
    assert before.signature == "absent"
    sign(folder, read_signing_key(keys.private))
    assert verify(folder).digest == before.digest
    assert verify(folder).signature == "unchecked"
    assert verify(folder, keys.public).signature == Bundle.load(folder, keys.public).signature == "verified"


def test_the_key_may_be_a_path_or_the_pem_itself(signed: Path, keys: KeyPair) -> None:
    pem = keys.public.read_bytes()
    for given_key in (keys.public, str(keys.public), pem, pem.decode()):
        assert verify(signed, given_key).signature == "verified"


def test_an_unsigned_bundle_is_rejected_where_a_key_is_given(make: Maker, keys: KeyPair) -> None:
    rejected(make.path(), "is not signed", public_key=keys.public)


def test_a_signature_that_was_taken_away_is_missed(signed: Path, keys: KeyPair) -> None:
    (signed / "bundle.sig").unlink()
    rejected(signed, "is not signed", public_key=keys.public)


def test_the_wrong_key_is_rejected(signed: Path, other_keys: KeyPair) -> None:
    rejected(signed, "is signed with the key .*, not with a given one", public_key=other_keys.public)


def test_the_wrong_key_under_the_name_of_the_right_one_is_rejected(
    make: Maker, keys: KeyPair, other_keys: KeyPair
) -> None:
    """The hint says which key it was; a liar's hint does not help."""
    folder = make.path()
    sign(folder, read_signing_key(other_keys.private))
    document = json.loads((folder / "bundle.sig").read_bytes())
    true_hint = read_signing_key(keys.private).public.hint
    document["verificationMaterial"]["publicKey"]["hint"] = true_hint
    (folder / "bundle.sig").write_bytes(canonical(document))
    assert verify(folder).signature == "unchecked"
    rejected(folder, "was not made with the key", public_key=keys.public)


def test_while_keys_are_exchanged_both_are_good(signed: Path, keys: KeyPair, other_keys: KeyPair) -> None:
    both = other_keys.public.read_text() + keys.public.read_text()
    assert verify(signed, both).signature == "verified"
    (signed / "bundle.sig").unlink()
    sign(signed, read_signing_key(other_keys.private))
    assert verify(signed, both).signature == "verified"
    rejected(signed, "is signed with the key", public_key=keys.public)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_each_curve_of_the_library_works(
    make: Maker, tmp_path: Path, curve: ec.EllipticCurve, other_keys: KeyPair
) -> None:
    pair = KeyPair.make(tmp_path / "pair", curve)
    folder = make.path()
    sign(folder, read_signing_key(pair.private))
    assert verify(folder, pair.public).signature == "verified"
    rejected(folder, public_key=other_keys.public)


def test_the_signature_of_another_bundle_is_rejected(signed: Path, make: Maker, keys: KeyPair) -> None:
    other = make.path(version="2", model_card="# Another\n")
    sign(other, read_signing_key(keys.private))
    shutil.copyfile(other / "bundle.sig", signed / "bundle.sig")
    reason = rejected(signed, "is not about this bundle", public_key=keys.public)
    assert "README.md" in reason
    assert "bundle.json" in reason
    assert "model.onnx" not in reason
    rejected(signed, "is not about this bundle")


def test_no_digest_that_is_right_again_helps(signed: Path, keys: KeyPair) -> None:
    """Every file in turn is changed by somebody who can compute digests, and has no key."""
    for name in sorted(json.loads((signed / "bundle.json").read_bytes())["files"]):
        data = (signed / name).read_bytes()
        sealed = (signed / "bundle.json").read_bytes()
        (signed / name).write_bytes(data + b" ")
        reseal(signed)
        with pytest.raises(BundleRejected):
            verify(signed, keys.public)
        (signed / name).write_bytes(data)
        (signed / "bundle.json").write_bytes(sealed)
    reseal(signed, lambda document: document["provenance"].update(note="another"))
    rejected(signed, "is not about this bundle: it signs other content of bundle.json", public_key=keys.public)


def test_any_changed_byte_of_the_signature_is_rejected(signed: Path, keys: KeyPair) -> None:
    path = signed / "bundle.sig"
    data = path.read_bytes()
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(BundleRejected):
            verify(signed, keys.public)
    path.write_bytes(data)
    verify(signed, keys.public)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0), change=st.integers(1, 255))
def test_no_byte_of_the_signature_is_free(good: Path, keys: KeyPair, place: int, change: int) -> None:
    from stage1.bundle.keys import read_public_keys
    from stage1.bundle.manifest import read_manifest
    from stage1.bundle.signing import check_signature

    data = bytearray((good / "bundle.sig").read_bytes())
    manifest = read_manifest((good / "bundle.json").read_bytes())
    public = read_public_keys(keys.public)
    check_signature(bytes(data), manifest, public)
    data[place % len(data)] ^= change
    with pytest.raises(BundleRejected):
        check_signature(bytes(data), manifest, public)


def envelope(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return canonical(document)

    return edit


def payload(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(document: dict[str, Any]) -> None:
        statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        change(statement)
        document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return envelope(edit)


def twice(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["signatures"] *= 2


FORGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not canonical": (lambda data: data.replace(b": ", b":", 1), "not in the form"),
    "a key twice": (lambda data: data.replace(b"{", b'{"mediaType": "", ', 1), "stands twice"),
    "another field": (envelope(lambda d: d.update(more=1)), "not in the form"),
    "another media type": (envelope(lambda d: d.update(mediaType="x")), "not in the form"),
    "another payload type": (envelope(lambda d: d["dsseEnvelope"].update(payloadType="x")), "not in the form"),
    "no hint": (envelope(lambda d: d["verificationMaterial"]["publicKey"].clear()), "no signature of model-signing"),
    "hint that is no text": (
        envelope(lambda d: d["verificationMaterial"]["publicKey"].update(hint=None)),
        "no signature of model-signing",
    ),
    "no signatures": (envelope(lambda d: d["dsseEnvelope"].update(signatures=[])), "no signature of model-signing"),
    "two signatures": (envelope(twice), "not in the form"),
    "empty signature": (envelope(lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="")), "was not made with"),
    "noise as signature": (
        envelope(lambda d: d["dsseEnvelope"]["signatures"][0].update(sig="AAAA")),
        "was not made with the key",
    ),
    "no list of files": (payload(lambda s: s.pop("predicate")), "it signs no list of files"),
    "paths to ignore": (
        payload(lambda s: s["predicate"]["serialization"]["ignore_paths"].append("model.onnx")),
        "it signs something else",
    ),
    "links allowed": (
        payload(lambda s: s["predicate"]["serialization"].update(allow_symlinks=True)),
        "it signs something else",
    ),
    "the old predicate": (
        payload(lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")),
        "it signs something else",
    ),
    "a file less": (payload(lambda s: s["predicate"]["resources"].pop()), "it signs other content of thresholds.json"),
    "no resource": (payload(lambda s: s["predicate"].update(resources=[])), "it signs other content of README.md"),
    "resources of text": (payload(lambda s: s["predicate"].update(resources="ab")), "it signs no list of files"),
    "another name": (payload(lambda s: s["subject"][0].update(name="x")), "it signs something else"),
    "payload of noise": (
        envelope(lambda d: d["dsseEnvelope"].update(payload="AAAA")),
        "bundle.sig is not strict JSON",
    ),
    "an array": (lambda _: b"[]\n", "no signature of model-signing"),
    "nested deeply": (lambda _: b"[" * 100_000, "not strict JSON"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_signature_in_another_form_is_rejected(signed: Path, keys: KeyPair, name: str) -> None:
    edit, match = FORGED[name]
    path = signed / "bundle.sig"
    path.write_bytes(edit(path.read_bytes()))
    rejected(signed, match, public_key=keys.public)


def test_the_librarys_own_command_line_agrees(signed: Path, keys: KeyPair) -> None:
    """And it does not see what is hidden in git's files, which is why its verdict alone is not enough."""

    def upstream() -> int:
        command = "from model_signing._cli import main; main()"
        arguments = ["verify", "key", str(signed), "--signature", str(signed / "bundle.sig")]
        return subprocess.run(
            [sys.executable, "-c", command, *arguments, "--public_key", str(keys.public)],
            capture_output=True,
            check=False,
        ).returncode

    assert upstream() == 0
    (signed / ".gitignore").write_text("hidden")
    assert upstream() == 0
    rejected(signed, "does not list: '.gitignore'", public_key=keys.public)
    (signed / ".gitignore").unlink()
    (signed / "README.md").write_text("another")
    assert upstream() != 0


def test_what_was_signed_stays_signed_if_the_files_change_meanwhile(
    signed: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signature is compared with the bytes that were read: what changes after that is not read again."""
    from stage1.bundle import verification

    def check_then_replace(data: bytes, manifest: Any, given_keys: Any) -> None:
        check(data, manifest, given_keys)
        (signed / "model.onnx").write_bytes((signed / "model.onnx").read_bytes()[::-1])

    check = verification.check_signature
    monkeypatch.setattr(verification, "check_signature", check_then_replace)
    with pytest.raises(BundleRejected, match=r"model\.onnx was changed"):
        verify(signed, keys.public)


class TestSigning:
    def test_a_broken_bundle_is_not_signed(self, make: Maker, keys: KeyPair) -> None:
        folder = make.path()
        (folder / "README.md").write_text("other")
        with pytest.raises(BundleRejected, match=r"README\.md"):
            sign(folder, read_signing_key(keys.private))
        assert not (folder / "bundle.sig").exists()

    def test_a_signed_bundle_is_not_signed_over(self, signed: Path, keys: KeyPair) -> None:
        before = (signed / "bundle.sig").read_bytes()
        with pytest.raises(BadInput, match="signed already"):
            sign(signed, read_signing_key(keys.private))
        assert (signed / "bundle.sig").read_bytes() == before

    def test_the_private_key_reaches_no_message(self, keys: KeyPair) -> None:
        assert "PRIVATE" not in repr(read_signing_key(keys.private))

    def test_nothing_of_the_library_is_loaded_without_a_key(self, signed: Path) -> None:
        code = (
            "import sys; from stage1.bundle import Bundle; print(Bundle.load(sys.argv[1]).signature);"
            "print([name for name in ('model_signing', 'sigstore', 'OpenSSL') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code, str(signed)], capture_output=True, text=True, check=True)
        assert done.stdout == "unchecked\n[]\n"


class TestKeys:
    def test_the_environment_names_a_file_or_holds_the_key(self, keys: KeyPair) -> None:
        text = keys.private.read_text()
        in_file, in_text = (signing_key_from({"STAGE1_SIGNING_KEY": value}) for value in (str(keys.private), text))
        assert in_file is not None
        assert in_file == in_text
        assert signing_key_from({}) is None
        assert signing_key_from({"STAGE1_SIGNING_KEY": ""}) is None

    def test_what_openssl_writes_is_read(self, make: Maker, tmp_path: Path) -> None:
        """The commands of docs/consuming.md."""
        private, public = tmp_path / "signing.pem", tmp_path / "signing.pub.pem"
        generate = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private]
        subprocess.run(generate, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        folder = make.path()
        sign(folder, read_signing_key(private))
        assert verify(folder, public).signature == "verified"

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "cannot be read|none that can be read"),
            ("-----BEGIN PRIVATE KEY-----\nxxxx\n-----END PRIVATE KEY-----\n", "none that can be read. Make one"),
            ("-----BEGIN nonsense", "none that can be read"),
            ("-----BEGIN \N{SNOWMAN}", "no text"),
            ("-----BEGIN " + "x" * 70_000, "at most 65,536"),
            ("nowhere.pem", "nowhere.pem cannot be read: No such file"),
        ],
    )
    def test_what_is_no_signing_key_is_said(self, text: str, match: str) -> None:
        with pytest.raises(BadInput, match=match):
            read_signing_key(text)

    def test_an_encrypted_key_is_said(self, keys: KeyPair, tmp_path: Path) -> None:
        out = tmp_path / "encrypted.pem"
        command = ["openssl", "pkcs8", "-topk8", "-in", keys.private, "-out", out, "-passout", "pass:x"]
        subprocess.run(command, check=True, capture_output=True)
        with pytest.raises(BadInput, match="is encrypted"):
            read_signing_key(out)

    @pytest.mark.parametrize("algorithm", [("RSA",), ("ED25519",), ("EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")])
    def test_another_kind_of_key_is_said(self, tmp_path: Path, algorithm: tuple[str, ...]) -> None:
        private, public = tmp_path / "key.pem", tmp_path / "pub.pem"
        command = ["openssl", "genpkey", "-algorithm", *algorithm, "-out", private]
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        with pytest.raises(BadInput, match="Need an EC key on secp256r1"):
            read_signing_key(private)
        with pytest.raises(BundleRejected, match="Need an EC key on secp256r1"):
            verify(tmp_path, public)

    def test_a_private_key_given_as_public_is_said(self, signed: Path, keys: KeyPair) -> None:
        rejected(signed, "holds a private key. Keep that secret", public_key=keys.private)

    @pytest.mark.parametrize("key", ["", "nowhere.pem", b"", b"\xff", "-----BEGIN PUBLIC KEY-----"])
    def test_a_key_that_is_none_rejects(self, signed: Path, key: Any) -> None:
        rejected(signed, public_key=key)

    def test_a_damaged_public_key_rejects(self, signed: Path, keys: KeyPair) -> None:
        lines = keys.public.read_text().splitlines()
        lines[1] = lines[1][::-1]
        rejected(signed, "cannot be read", public_key="\n".join(lines))


def test_a_key_leaves_no_descriptor_open(make: Maker, keys: KeyPair) -> None:
    folder = make.path()
    key = read_signing_key(keys.private)
    sign(folder, key)  # what the library opens for good, it has opened now
    gc.collect()  # what other tests left open would otherwise be closed meanwhile
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        (folder / "bundle.sig").unlink(missing_ok=True)
        sign(folder, key)
        verify(folder, keys.public)
    gc.collect()
    assert len(list(Path("/dev/fd").iterdir())) <= before
