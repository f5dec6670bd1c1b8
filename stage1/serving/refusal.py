"""What the server says instead of an answer."""


class Refusal(Exception):
    """A request that gets {"error": message} and an HTTP status.

    Attributes:
        status: 4xx: the caller can mend it. 503: come again.
        retry_after_s: When to come again; None where that would not help.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
