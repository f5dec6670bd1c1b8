"""bundle.sig: who vouches for a bundle. docs/adr/0004 says what is signed and why so.

The file is what model-signing writes (a Sigstore bundle: a DSSE envelope around an in-toto statement that lists every
file with its SHA-256), so its own command line can check a bundle, too:

    model_signing verify key BUNDLE --signature BUNDLE/bundle.sig --public_key signing.pub.pem

That tool reads the folder again and passes over git's files. Here the statement is compared with the digests of the
very bytes that are used, and it must be, to the byte, the one statement that can be made about them.
"""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from stage1.bundle.documents import Malformed, canonical, parse
from stage1.bundle.keys import PublicKey, SigningKey
from stage1.bundle.manifest import MANIFEST, SIGNATURE, Manifest
from stage1.errors import BundleRejected

if TYPE_CHECKING:
    from model_signing.hashing import Config

SignatureState = Literal["verified", "unchecked", "absent"]
"""A signature that a given key made; one that no key was given for; none."""

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}


def make_signature(manifest: Manifest, key: SigningKey) -> bytes:
    """Return bundle.sig for the bundle with this manifest; every file's digest stands in it.

    ECDSA takes a random number, so two signatures of one bundle differ; its digest covers neither.

    Raises:
        BundleRejected: What model-signing wrote is not the statement that verification would accept.
    """
    import model_signing

    hashing = _known(manifest)
    with tempfile.TemporaryDirectory() as folder, _as_file(key.pem) as private:
        config = model_signing.signing.Config().set_hashing_config(hashing)  # type: ignore[no-untyped-call]
        written = Path(folder) / SIGNATURE
        config.use_elliptic_key_signer(private_key=private).sign(folder, written)
        data = canonical(parse(written.read_bytes()))
    check_signature(data, manifest, (key.public,))
    return data


def check_signature(data: bytes, manifest: Manifest, keys: Sequence[PublicKey]) -> None:
    """Check that bundle.sig is about exactly this bundle and, where keys are given, that one of them made it.

    Args:
        data: The bytes of bundle.sig.
        manifest: Of the bundle; it has the digest of every other file.
        keys: Empty checks everything but the signature itself.

    Raises:
        BundleRejected: With the first check that failed.
    """
    try:
        document = parse(data)
        again = canonical(document)
        hint, payload, signature = _parts(document)
        statement = parse(payload)
    except Malformed as error:
        raise BundleRejected(f"{SIGNATURE} {error}.") from error
    if again != data or document != _envelope(hint, payload, signature):
        raise BundleRejected(f"{SIGNATURE} is not in the form that stage1 writes.")
    expected = _statement(manifest)
    if statement != expected:
        raise BundleRejected(f"{SIGNATURE} is not about this bundle: {_difference(statement, expected)}.")
    if keys:
        chosen = [key for key in keys if key.hint == hint]
        if not chosen:
            known = ", ".join(key.hint[:12] for key in keys)
            raise BundleRejected(f"The bundle is signed with the key {hint[:12]}, not with a given one ({known}).")
        _check_cryptography(data, manifest, chosen[0])


def _check_cryptography(data: bytes, manifest: Manifest, key: PublicKey) -> None:
    import model_signing
    from cryptography.exceptions import InvalidSignature

    with tempfile.TemporaryDirectory() as folder, _as_file(key.pem) as public:
        path = Path(folder) / SIGNATURE
        path.write_bytes(data)
        config = model_signing.verifying.Config().set_hashing_config(_known(manifest))  # type: ignore[no-untyped-call]
        try:
            config.use_elliptic_key_verifier(public_key=public).verify(folder, path)
        except InvalidSignature as error:
            raise BundleRejected(f"The signature in {SIGNATURE} was not made with the key {key.hint[:12]}.") from error


def _known(manifest: Manifest) -> "Config":
    """A hashing configuration for model-signing that reads nothing: it tells the digests of the checked bytes."""
    from model_signing._hashing.hashing import Digest
    from model_signing.hashing import Config
    from model_signing.manifest import Manifest as Hashed
    from model_signing.manifest import SerializationType

    class Known(Config):
        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Hashed:  # noqa: ARG002  the library's names
            kind = SerializationType.from_args(_SERIALIZATION)
            items = [kind.new_item(n, Digest("sha256", bytes.fromhex(d))) for n, d in _digests(manifest).items()]
            return Hashed(_subject(manifest), items, kind)

    return Known()  # type: ignore[no-untyped-call]


def _statement(manifest: Manifest) -> dict[str, Any]:
    """The in-toto statement of model-signing 1.x about this bundle; there is only one."""
    digests = _digests(manifest)
    names = sorted(digests, key=PurePosixPath)
    root = hashlib.sha256(b"".join(bytes.fromhex(digests[name]) for name in names)).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": _subject(manifest), "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [{"algorithm": "sha256", "name": name, "digest": digests[name]} for name in names],
            "serialization": _SERIALIZATION,
        },
    }


def _digests(manifest: Manifest) -> dict[str, str]:
    sealed = hashlib.sha256(canonical(dict(manifest.document))).hexdigest()
    return {MANIFEST: sealed, **{name: entry.sha256 for name, entry in manifest.files.items()}}


def _subject(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.digest}"


def _parts(document: Any) -> tuple[str, bytes, str]:
    """Return the key's hint, the payload and the signature, in whatever else they stand."""
    try:
        hint = document["verificationMaterial"]["publicKey"]["hint"]
        payload = base64.b64decode(document["dsseEnvelope"]["payload"], validate=True)
        signature = document["dsseEnvelope"]["signatures"][0]["sig"]
        again = base64.b64encode(base64.b64decode(signature, validate=True)).decode()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Malformed("is no signature of model-signing") from error
    if not isinstance(hint, str) or again != signature:
        raise Malformed("is no signature of model-signing")
    return hint, payload, signature


def _envelope(hint: str, payload: bytes, signature: str) -> dict[str, Any]:
    return {
        "mediaType": _MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }


def _difference(found: Any, expected: Mapping[str, Any]) -> str:
    """Say which files a signature is about that the bundle has not, or has otherwise."""
    try:
        signed = {resource["name"]: resource["digest"] for resource in found["predicate"]["resources"]}
    except (KeyError, TypeError):
        return "it signs no list of files"
    present = {resource["name"]: resource["digest"] for resource in expected["predicate"]["resources"]}
    names = sorted(str(name) for name in {*signed, *present} if signed.get(name) != present.get(name))
    return f"it signs other content of {', '.join(names[:5])[:500]}" if names else "it signs something else, too"


@contextmanager
def _as_file(pem: bytes) -> Iterator[str]:
    """Yield a path to read a key from, once: model-signing takes paths, and a private key should reach no disk."""
    read, write = os.pipe()
    try:
        with open(write, "wb") as stream:  # noqa: PTH123  a descriptor; a key is far below a pipe's buffer
            stream.write(pem)
        yield f"/dev/fd/{read}"
    finally:
        os.close(read)
