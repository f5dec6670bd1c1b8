"""Bundles: written once, verified byte by byte, promoted by one compare-and-set, asked without torch."""

from stage1.bundle.answers import Answer
from stage1.bundle.channel import Channel, Entry, Pointer
from stage1.bundle.consumer import Bundle
from stage1.bundle.keys import SigningKey, read_signing_key, signing_key_from
from stage1.bundle.looks import record_look
from stage1.bundle.manifest import Manifest
from stage1.bundle.publishing import Promoted, promote, rollback
from stage1.bundle.verification import Verified, verify
from stage1.bundle.writing import CanaryImage, sign, write_bundle
from stage1.errors import BundleRejected

__all__ = [
    "Answer",
    "Bundle",
    "BundleRejected",
    "CanaryImage",
    "Channel",
    "Entry",
    "Manifest",
    "Pointer",
    "Promoted",
    "SigningKey",
    "Verified",
    "promote",
    "read_signing_key",
    "record_look",
    "rollback",
    "sign",
    "signing_key_from",
    "verify",
    "write_bundle",
]
