"""Keys of bundles: EC keys in PEM, from a file, from text, or from an environment variable.

Imported libraries wait until a key is there: whoever has none pays nothing.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stage1.errors import BadInput

SIGNING_KEY = "STAGE1_SIGNING_KEY"
PUBLIC_KEY = "STAGE1_PUBLIC_KEY"

KeySource = str | Path | bytes
"""A PEM file's path, or the PEM itself (bytes, or text that begins with -----BEGIN)."""

_LIMIT = 64 << 10
_BEGIN = "-----BEGIN "
_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAKE = "Make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing.pem"


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        pem: SubjectPublicKeyInfo in PEM.
        hint: SHA-256 of `pem` in hex; a signature names its key by it.
    """

    pem: bytes
    hint: str


@dataclass(frozen=True)
class SigningKey:
    """A private key; its text stays out of messages and reprs."""

    pem: bytes = field(repr=False)
    public: PublicKey


def read_public_keys(source: KeySource) -> tuple[PublicKey, ...]:
    """Return the public keys in one PEM; while keys are exchanged there are two in it, the old and the new.

    Raises:
        BadInput: The file cannot be read, or holds no EC public key on a curve of the NIST.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text, where = _text(source, "public key")
    if "PRIVATE KEY" in text:
        raise BadInput(
            f"Need a public key, {where} holds a private key. Keep that secret, and give the public part: "
            "openssl ec -in signing.pem -pubout -out signing.pub.pem"
        )
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise BadInput(f"Need a public key in PEM (-----BEGIN PUBLIC KEY-----), {where} holds none.")
    try:
        return tuple(_public(load_pem_public_key(block.encode()), where) for block in blocks)
    except (ValueError, TypeError) as error:
        raise BadInput(f"The public key in {where} cannot be read: {error}") from error


def read_signing_key(source: KeySource) -> SigningKey:
    """Return the private key in a PEM.

    Raises:
        BadInput: The file cannot be read, holds no EC private key on a curve of the NIST, or an encrypted one.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text, where = _text(source, "signing key")
    try:
        key = load_pem_private_key(text.encode(), None)
    except TypeError as error:
        raise BadInput(
            f"The signing key in {where} is encrypted. Decrypt it into a secret store first (openssl ec -in ... -out "
            "...); a task has nobody to type a password."
        ) from error
    except Exception as error:  # cryptography raises several kinds for what is no key
        raise BadInput(f"Need an EC private key in PEM, {where} holds none that can be read. {_MAKE}") from error
    return SigningKey(text.encode(), _public(key.public_key(), where))


def signing_key_from(environment: Mapping[str, str] = os.environ) -> SigningKey | None:
    """Return the key in $STAGE1_SIGNING_KEY (the PEM itself or a file's path); None where it is not set.

    Raises:
        BadInput: As read_signing_key.
    """
    source = environment.get(SIGNING_KEY, "")
    return read_signing_key(source) if source else None


def public_key_from(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return what $STAGE1_PUBLIC_KEY holds (the PEM itself or a file's path); None where it is not set."""
    return environment.get(PUBLIC_KEY) or None


def _text(source: KeySource, what: str) -> tuple[str, str]:
    if isinstance(source, str) and not source.lstrip().startswith(_BEGIN):
        source = Path(source)
    try:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                data = stream.read(_LIMIT + 1)
        else:
            data = source.encode() if isinstance(source, str) else source
        if len(data) > _LIMIT:
            raise BadInput(f"Need a PEM of at most {_LIMIT:,} bytes as {what}, got more.")
        return data.decode("ascii"), str(source) if isinstance(source, Path) else "the given PEM"
    except OSError as error:
        raise BadInput(f"The {what} {source!s} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise BadInput(f"The {what} is no PEM: it has bytes that are no text.") from error


def _public(key: object, where: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        kind = key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__
        raise BadInput(f"Need an EC key on {', '.join(_CURVES)}, {where} holds {kind}. {_MAKE}")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(pem, hashlib.sha256(pem).hexdigest())
