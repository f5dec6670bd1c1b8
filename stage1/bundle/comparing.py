"""What two bundles differ in, for the one who must decide between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stage1.bundle.verification import Verified

Part = Literal["bundle", "metrics", "policy", "data", "code", "libraries", "config", "files"]


@dataclass(frozen=True)
class Change:
    """One thing that differs.

    Attributes:
        part: What it belongs to.
        name: What it is called there.
        before: As text; "" where the first bundle has no such thing.
        after: The same of the second.
    """

    part: Part
    name: str
    before: str
    after: str


def compare(before: Verified, after: Verified) -> tuple[Change, ...]:
    """Return what differs, in the order of Part; nothing where the two are one bundle."""
    return tuple(
        Change(part, name, first, second)
        for part, left, right in _sides(before, after)
        for name in _names(left, right)
        if (first := _text(left.get(name))) != (second := _text(right.get(name)))
    )


def _sides(before: Verified, after: Verified) -> Iterator[tuple[Part, Mapping[str, Any], Mapping[str, Any]]]:
    views: dict[Part, Any] = {
        "bundle": _bundle,
        "metrics": _metrics,
        "policy": lambda verified: _flat(verified.policy.to_json()),
        "data": lambda verified: {"data_digest": verified.manifest.decision["data_digest"]},
        "code": lambda verified: {key: verified.manifest.provenance.get(key) for key in ("stage1", "code", "commit")},
        "libraries": lambda verified: verified.manifest.provenance.get("libraries", {}),
        "config": lambda verified: _flat(verified.manifest.provenance.get("config", {})),
        "files": lambda verified: {name: entry.sha256 for name, entry in verified.manifest.files.items()},
    }
    for part, view in views.items():
        yield part, view(before), view(after)


def _bundle(verified: Verified) -> dict[str, Any]:
    manifest = verified.manifest
    return {
        "digest": manifest.digest,
        "name": manifest.name,
        "version": manifest.version,
        "sequence": manifest.sequence,
        "classes": ", ".join(manifest.classes),
        "policy": manifest.policy_file,
        "preprocessing": dict(manifest.preprocessing),
        "model": manifest.decision["model_digest"],
        "signature": "none" if verified.signature == "absent" else "signed",
    }


def _metrics(verified: Verified) -> dict[str, Any]:
    """The gate's numbers on val_test; a check that measures something has a bound, most have a value, too."""
    return {
        f"{check['name']} {number}": check[number]
        for check in verified.manifest.decision["checks"]
        for number in ("value", "bound", "limit")
        if check.get(number) is not None
    }


def _flat(document: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(document, Mapping) or not document:
        return {prefix: document}
    return {
        name: value
        for key, part in document.items()
        for name, value in _flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _names(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return [*left, *(name for name in right if name not in left)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
