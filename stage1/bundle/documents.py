"""JSON that cannot be read in two ways: one canonical form to write, one strict parser and the schemas to read.

Parsers differ on duplicate keys, NaN and numbers out of range, so whoever checks and whoever uses a document might see
different ones. Here each of these is an error.
"""

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SCHEMAS = ("bundle", "canaries", "pointer", "looks", "reference")


class Malformed(ValueError):
    """A document is not what it should be; the message says how."""


def canonical(document: Any) -> bytes:
    """Return the one form in which a document is written: sorted keys, indent 2, UTF-8, final newline.

    Raises:
        Malformed: It holds NaN, an infinity, or what JSON has not.
    """
    try:
        text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        return (text + "\n").encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"cannot be written as JSON: {error}") from error


def digest_of(document: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(document)).hexdigest()


def parse(data: bytes) -> Any:
    """Return the document.

    Raises:
        Malformed: It is not UTF-8 JSON, has a key twice, NaN or an infinity, or is nested too deeply.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"is not strict JSON: {error}") from error


def check(document: Any, schema: str) -> dict[str, Any]:
    """Return the document if it obeys the schema of that name (one of SCHEMAS).

    Raises:
        Malformed: With the place and the rule.
    """
    error = best_match(_validator(schema).iter_errors(document))
    if error is not None:
        raise Malformed(f"breaks schema {schema} at {error.json_path}: {error.message[:300]}")
    checked: dict[str, Any] = document
    return checked


def schema_bytes(schema: str) -> bytes:
    """Return the schema of that name as it is shipped."""
    return resources.files("stage1.bundle").joinpath("schemas", f"{schema}.schema.json").read_bytes()


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema_bytes(schema)))


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
