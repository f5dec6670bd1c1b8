"""Every exception that stage1 raises on purpose.

Stage1Error                 exit 1   a fault: the message says what to do
├── BadInput                exit 2   the caller can mend it: a file, a flag, a field, a URI
│   ├── BadConfig                    unknown field, wrong type, impossible value
│   ├── BadData                      a data set, a sheet or an image that cannot be used
│   │   ├── BadImage                 one image; counted against the budget of bad images
│   │   └── SplitForbidden           a step asked for rows of a split that it may not see
│   ├── BadArtifact                  a step's input folder is missing, foreign or was changed
│   └── TooFewSamples                too little calibration or test data for the promise asked for
├── BundleRejected          exit 2   a bundle that fails any check, with the reason
├── PromotionRefused        exit 3   the gate said no
├── StorageError            exit 1
│   ├── NotFound                     no object under that key
│   ├── TooLarge                     an object has more bytes than the caller wants
│   └── Conflict                     somebody else wrote first; nothing was changed
├── NoAnswer                exit 1   a server did not answer; asking again goes on from there
├── Unreachable             exit 1   MLflow could not be reached; what it missed is kept (stage1.tracking)
└── Interrupted             exit 130 or 143: Ctrl-C or SIGTERM; what is done is kept
"""


class Stage1Error(Exception):
    """A fault that stage1 understands; its message says what was needed, what came and what to do."""

    exit_code = 1


class BadInput(Stage1Error):
    """Something the caller gave cannot be used."""

    exit_code = 2


class BadConfig(BadInput):
    """A configuration field is unknown, has the wrong type or an impossible value."""


class BadData(BadInput):
    """A data set or sheet cannot be used as it is."""


class BadImage(BadData):
    """One image cannot be decoded safely; `reason` is one of a few words that can be counted."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SplitForbidden(BadData):
    """A step asked for rows of a split that it may not see."""


class BadArtifact(BadInput):
    """A step's input folder is missing, is not what the step needs, or was changed after it was written."""


class TooFewSamples(BadInput):
    """The promise asked for needs more samples; the message names both numbers."""


class BundleRejected(Stage1Error):
    """A bundle failed a check and was not used."""

    exit_code = 2


class PromotionRefused(Stage1Error):
    """The gate said no, or a promotion was asked for without a decision that says yes."""

    exit_code = 3


class StorageError(Stage1Error):
    """The object store failed."""


class NotFound(StorageError):
    """There is no object under that key."""


class TooLarge(StorageError):
    """The object has more bytes than the caller wants; it was not read."""


class Conflict(StorageError):
    """Another writer was first: the object exists already, or is no longer what the caller read."""


class NoAnswer(Stage1Error):
    """A server could not be reached, or failed; asking again goes on from there."""


class Interrupted(Stage1Error):
    """Ctrl-C or SIGTERM arrived; what is done is kept and the same command goes on from there."""

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
