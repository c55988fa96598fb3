"""A ceiling on what all connections of a run send together: a token bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.1
"""What may go at once after a pause: less would send packets of a few bytes, more would be felt by others."""

_LEAST = 16 << 10
"""Bytes that are worth sending by themselves."""


class Limit:
    """So many bytes a second, of all threads together. Over any time t no more than rate * t + `burst` are granted.

    It waits for nobody: who is granted nothing waits for the seconds that it is told.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = max(int(rate * _BURST_SECONDS), _LEAST)
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = float(self.burst)
        self._then = clock()

    def grant(self, wanted: int) -> tuple[int, float]:
        """Bytes that may be sent now, at most `wanted`; where none, the seconds after which to ask again."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + (now - self._then) * self.rate)
            self._then = now
            least = min(wanted, _LEAST)
            if self._tokens < least:
                return 0, (least - self._tokens) / self.rate
            granted = min(wanted, int(self._tokens))
            self._tokens -= granted
            return granted, 0.0

    def give_back(self, count: int) -> None:
        """Bytes that were granted and not sent."""
        with self._lock:
            self._tokens = min(self.burst, self._tokens + count)
