"""How a stream bears with a connection that breaks: it tries again, after pauses that double, and not for ever."""

from __future__ import annotations

import threading

from bundler.transport.refusals import ConnectionFailed
from bundler.transport.shipment import Shipment

ATTEMPTS = 8
"""Connections in a row that brought nothing further, after which a stream gives up."""

LONGEST_PAUSE = 15.0
"""Seconds. Pauses double up to it: all of a stream's attempts together bridge a minute."""


class Attempts:
    """The attempts of one stream. `cancelled` ends a pause."""

    def __init__(self, shipment: Shipment, cancelled: threading.Event) -> None:
        self._shipment = shipment
        self._cancelled = cancelled
        self._failures = 0

    def went_on(self) -> None:
        """Something arrived: what failed before does not count any more."""
        self._failures = 0

    def failed(self, error: ConnectionFailed) -> None:
        """Pause before the next attempt. Raises the error where another would not help, or there were enough."""
        self._failures += 1
        if not error.transient or self._failures >= ATTEMPTS:
            raise error
        pause = min(0.25 * 2**self._failures, LONGEST_PAUSE)
        self._shipment.interrupted(error, pause)
        if self._cancelled.wait(pause):
            raise error
