"""When a request that failed is sent again: back-off with full jitter, until a deadline."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import SystemRandom

_random = SystemRandom()


@dataclass(frozen=True)
class Retrying:
    """How long a fault is put up with.

    Attributes:
        deadline_s: No attempt begins later than this after the first one.
        connect_s: To reach the server, each attempt.
        silence_s: Longest time without a byte in either direction, each attempt.
        first_wait_s: Upper end of the first pause; each further one doubles it.
        longest_wait_s: Where the doubling ends.
    """

    deadline_s: float = 120.0
    connect_s: float = 10.0
    silence_s: float = 30.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 8.0

    def attempts(self) -> Iterator[int]:
        """Yield 1, 2, ... with pauses between, until the next attempt would begin after the deadline.

        A pause is drawn uniformly from [0, its upper end), so that clients that failed together do not come back
        together.
        """
        start = time.monotonic()
        number = 1
        while True:
            yield number
            upper = min(self.longest_wait_s, self.first_wait_s * 2 ** min(number - 1, 30))
            pause = _random.uniform(0, upper)
            if time.monotonic() + pause - start > self.deadline_s:
                return
            time.sleep(pause)
            number += 1
