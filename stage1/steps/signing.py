"""The key that signs a bundle, and what to say where one is needed and missing: before training rather than after."""

from stage1.bundle.channel import SignatureRule
from stage1.bundle.keys import PUBLIC_KEY, SIGNING_KEY, SigningKey, public_key_from, signing_key_from
from stage1.errors import BadConfig

_MAKE_A_PAIR = "docs/consuming.md says how to make a pair; signature=unsigned-allowed takes unsigned bundles."


def key_to_sign(rule: SignatureRule) -> SigningKey | None:
    """Return the key in $STAGE1_SIGNING_KEY; None where bundles may be unsigned and none is set.

    Raises:
        BadConfig: Signatures are required and no key is set.
        BadInput: What is set is no key.
    """
    key = signing_key_from()
    if key is None and rule == "required":
        raise BadConfig(f"signature is required, and ${SIGNING_KEY} is not set, so nothing can sign. {_MAKE_A_PAIR}")
    return key


def key_to_verify(rule: SignatureRule, configured: str) -> str | None:
    """Return the public key that a bundle must fit: the configured one, or else $STAGE1_PUBLIC_KEY; None for none.

    Raises:
        BadConfig: Signatures are required and there is no public key.
    """
    key = configured or public_key_from()
    if not key and rule == "required":
        raise BadConfig(
            f"signature is required, and neither promote.public_key nor ${PUBLIC_KEY} is set, so promote could not "
            f"verify. {_MAKE_A_PAIR}"
        )
    return key or None
