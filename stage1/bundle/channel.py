"""channels/<name>.json: which bundle a channel points at, and every one before it.

One object holds the present and the history, so one compare-and-set changes both or neither. `sequence` rises by every
change, a rollback included: a reader that remembers the highest it has seen cannot be sent back in time.
"""

from dataclasses import asdict, dataclass
from typing import Literal

from stage1.bundle.documents import Malformed, canonical, check, parse
from stage1.errors import BadInput, NotFound, StorageError
from stage1.storage import Store
from stage1.storage.keys import check_key

Action = Literal["promote", "rollback"]
SignatureRule = Literal["required", "unsigned-allowed"]
"""Whether a channel takes unsigned bundles. One that ever required signatures does so for good."""

_POINTER_LIMIT = 4 << 20
_MOST_ENTRIES = 5000


@dataclass(frozen=True)
class Entry:
    """One change of a channel.

    Attributes:
        digest: The bundle it pointed at from then on.
        sequence: Rises by every change.
        at: UTC, ISO 8601.
        action: A promotion, or a rollback to a bundle that had been promoted before.
        name: The bundle's name.
        version: The bundle's version.
    """

    digest: str
    sequence: int
    at: str
    action: Action
    name: str
    version: str


@dataclass(frozen=True)
class Pointer:
    """A channel as it was read.

    Attributes:
        history: Every change that is kept, oldest first; the last is the present.
        version: The store's version of the object, for compare-and-set.
        signature: Whether it takes unsigned bundles.
    """

    history: tuple[Entry, ...]
    version: str
    signature: SignatureRule

    @property
    def current(self) -> Entry:
        """The present entry."""
        return self.history[-1]

    @property
    def digest(self) -> str:
        """The bundle that the channel points at."""
        return self.current.digest

    @property
    def sequence(self) -> int:
        """The channel's present sequence."""
        return self.current.sequence


class Channel:
    """A named place from which consumers take the promoted bundle."""

    def __init__(self, store: Store, name: str) -> None:
        try:
            self.key = check_key(f"channels/{name}.json")
        except BadInput:
            name = name + "/"
        if "/" in name:
            raise BadInput(f"Need a channel name of letters, digits, '.', '_' and '-', got {name!r}.")
        self.store = store
        self.name = name

    def read(self) -> Pointer | None:
        """Return the pointer, or None where nothing has been promoted yet.

        Raises:
            StorageError: The store failed, or the object is no pointer of this channel.
        """
        try:
            stored = self.store.get(self.key, max_bytes=_POINTER_LIMIT)
        except NotFound:
            return None
        try:
            return self._parse(stored.data, stored.version)
        except Malformed as error:
            raise StorageError(
                f"{self.store.uri_of(self.key)} {error}. Somebody else wrote it: restore it, or use another channel."
            ) from error

    def history(self) -> tuple[Entry, ...]:
        """Return every change that is kept, oldest first; empty where nothing has been promoted yet."""
        pointer = self.read()
        return pointer.history if pointer else ()

    def next_sequence(self) -> int:
        """Return the sequence that a bundle exported now should have."""
        pointer = self.read()
        return pointer.sequence + 1 if pointer else 1

    def advance(self, before: Pointer | None, entry: Entry, signature: SignatureRule = "unsigned-allowed") -> None:
        """Point the channel at `entry` if it still is as it was read in `before`.

        A lost answer is no lost promotion: after any failure the pointer is read back, and where the entry stands in
        its history, the change was made, even if another one came after it.

        Args:
            before: The channel as it was read; None where it was not there.
            entry: What it points at from now on.
            signature: The rule from now on; one that required signatures keeps that.

        Raises:
            Conflict: Another change came first; nothing was changed.
            StorageError: The store failed; whether the change was made is unknown only if reading back failed, too.
        """
        history = ((*before.history, entry) if before else (entry,))[-_MOST_ENTRIES:]
        data = canonical(
            {
                "schema": "stage1/pointer/v1",
                "channel": self.name,
                "digest": entry.digest,
                "sequence": entry.sequence,
                "signature": rule_of(before, signature),
                "history": [asdict(past) for past in history],
            }
        )
        try:
            self.store.swap(self.key, data, before.version if before else None)
        except StorageError:
            after = self.read()
            if after is None or entry not in after.history:
                raise

    def _parse(self, data: bytes, version: str) -> Pointer:
        document = check(parse(data), "pointer")
        history = tuple(Entry(**entry) for entry in document["history"])
        sequences = [entry.sequence for entry in history]
        if document["channel"] != self.name:
            raise Malformed(f"is the pointer of channel {document['channel']!r}")
        if (document["digest"], document["sequence"]) != (history[-1].digest, sequences[-1]):
            raise Malformed("does not agree with the last entry of its own history")
        if sequences != sorted(set(sequences)):
            raise Malformed("has a history whose sequence does not rise")
        return Pointer(history, version, document["signature"])


def rule_of(pointer: Pointer | None, asked: SignatureRule) -> SignatureRule:
    """Return the rule that is in force: the stricter of the channel's own and the one asked for."""
    return "required" if "required" in (asked, pointer.signature if pointer else asked) else "unsigned-allowed"
