"""What a key is."""

import re

from stage1.errors import BadInput

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LONGEST = 512
_LONGEST_SEGMENT = 200


def check_key(key: str) -> str:
    """Return `key`, a relative path of plain names joined by "/".

    A name has letters, digits, ".", "_" and "-", and does not begin with "." or "-": nothing leads out of the store,
    nothing hides in it, and every store and file system can hold it.

    Raises:
        BadInput: It is anything else.
    """
    segments = key.split("/")
    if len(key) > _LONGEST or not all(
        len(segment) <= _LONGEST_SEGMENT and _SEGMENT.fullmatch(segment) for segment in segments
    ):
        raise BadInput(
            f"Need a key such as 'channels/demo.json' (names of letters, digits, '.', '_', '-', not beginning with '.' "
            f"or '-', joined by '/', {_LONGEST} characters at most), got {key[:_LONGEST]!r}. Use a plain name."
        )
    return key
