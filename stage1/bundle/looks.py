"""How many candidates were judged on one val_test: each look at the same data spends some of its power to certify."""

import re

from stage1.bundle.channel import Channel
from stage1.bundle.documents import Malformed, canonical, check, parse
from stage1.errors import BadInput, Conflict, NotFound, StorageError
from stage1.storage import Store

_LIMIT = 16 << 20
_MOST_ATTEMPTS = 1000
_DIGEST = re.compile(r"[0-9a-f]{64}")


def record_look(store: Store, channel: str, val_test_digest: str, candidate_digest: str) -> int:
    """Count a candidate that is about to be judged on a val_test, and return which look this is, from 1 on.

    The same candidate counted again keeps its number. Record before judging: a look that is not counted is the mistake.

    Args:
        store: Where the channel lives.
        channel: Its name.
        val_test_digest: SHA-256 in hex of what val_test holds.
        candidate_digest: SHA-256 in hex of what is judged: the model and its policies.

    Raises:
        BadInput: A digest is none.
        StorageError: The store failed, or holds something else under that key.
    """
    for digest in (val_test_digest, candidate_digest):
        if not _DIGEST.fullmatch(digest):
            raise BadInput(f"Need a SHA-256 in 64 hex digits to count a look, got {digest!r}.")
    name = Channel(store, channel).name
    key = f"looks/{name}/{val_test_digest}.json"
    for _ in range(_MOST_ATTEMPTS):
        candidates, version = _read(store, key)
        if candidate_digest in candidates:
            return candidates.index(candidate_digest) + 1
        candidates.append(candidate_digest)
        data = canonical(
            {"schema": "stage1/looks/v1", "channel": name, "val_test_digest": val_test_digest, "candidates": candidates}
        )
        try:
            store.swap(key, data, version)
        except Conflict:
            continue
        return len(candidates)
    raise StorageError(f"{store.uri_of(key)} changed under {_MOST_ATTEMPTS} attempts to count a look. Run again.")


def _read(store: Store, key: str) -> tuple[list[str], str | None]:
    try:
        stored = store.get(key, max_bytes=_LIMIT)
    except NotFound:
        return [], None
    try:
        return list(check(parse(stored.data), "looks")["candidates"]), stored.version
    except Malformed as error:
        raise StorageError(
            f"{store.uri_of(key)} {error}. Somebody else wrote it: restore it; looks must not be forgotten."
        ) from error
