"""Trying again: a named set of failures, waits that grow, and an end to it. Progress resets the count."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bundler.core.descriptor import TITLE, Descriptor
from bundler.core.errors import NetworkFailed
from bundler.core.size import format_duration
from bundler.sources.source import CHUNK, BlobSource, Stream, rest_of

Result = TypeVar("Result")


class Transient(NetworkFailed):
    """A failure that may pass by itself: a timeout, a reset, a short body, or one of `TRANSIENT_STATUSES`.

    `retry_after` is the seconds that the server asks us to wait, where it does.
    """

    def __init__(
        self, what: str, *, because: str | None = None, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(what, because=because, hint=hint)
        self.retry_after = retry_after


class GaveUp(NetworkFailed):
    """It failed each time."""

    def __init__(self, last: Transient, attempts: int) -> None:
        reason = last.because or "no reason was given"
        super().__init__(
            last.what,
            because=f"{reason}; tried {attempts} times" if attempts > 1 else reason,
            hint=last.hint or "run the same command again when the network is well: it goes on where it stopped",
        )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long to wait in between (seconds). `attempts` counts from the last progress.

    Waits double from `first` to `longest`, each shortened by up to half at random, so that many clients don't
    come back at once. A server's Retry-After is obeyed up to `patience`; one that asks for more is not waited for.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 30.0
    patience: float = 120.0

    def delay(self, failures: int, asked: float | None, luck: float) -> float | None:
        """Seconds to wait after so many failures; None to give up. `luck` is at random from 0 to 1."""
        if failures >= self.attempts or (asked is not None and asked > self.patience):
            return None
        grown = min(self.longest, self.first * 2.0 ** (failures - 1))
        return max(asked or 0.0, grown * (1 - luck / 2))


Notify = Callable[[Transient, float], None]


def _quiet(failure: Transient, delay: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Retries:
    """A policy and what it acts through: how to sleep, how to throw dice, whom to tell before each wait."""

    policy: RetryPolicy = RetryPolicy()
    pause: Callable[[float], None] = time.sleep
    luck: Callable[[], float] = random.random
    notify: Notify = _quiet

    def run(self, action: Callable[[], Result]) -> Result:
        """Do it, again where it fails with Transient. Raises GaveUp, and any other error at once."""
        attempts = _Attempts(self)
        while True:
            try:
                return action()
            except Transient as failure:
                attempts.failed(failure)


class _Attempts:
    """Failures in a row."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._failures = 0

    def failed(self, failure: Transient) -> None:
        """Count a failure and wait. Raises GaveUp."""
        self._failures += 1
        act = self._retries
        delay = act.policy.delay(self._failures, failure.retry_after, act.luck())
        if delay is None:
            raise GaveUp(failure, self._failures) from failure
        act.notify(failure, delay)
        act.pause(delay)

    def progressed(self) -> None:
        """Count from here."""
        self._failures = 0


class Retrying:
    """A source whose transient failures are mended: opened again where it stopped, as long as it gets on."""

    def __init__(self, inner: BlobSource, retries: Retries | None = None) -> None:
        self._inner = inner
        self._retries = retries or Retries()

    @property
    def name(self) -> str:
        """The inner source's."""
        return self._inner.name

    @property
    def suspicion(self) -> str:
        """The inner source's."""
        return self._inner.suspicion

    @property
    def remedy(self) -> str:
        """The inner source's."""
        return self._inner.remedy

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read. Raises GaveUp, also from the stream."""
        stream = self._retries.run(lambda: self._inner.open(blob, offset))
        return _MendedStream(self._inner, blob, stream, self._retries)


class _MendedStream:
    """A stream that opens its source again where that one broke off."""

    def __init__(self, source: BlobSource, blob: Descriptor, first: Stream, retries: Retries) -> None:
        self.offset = first.offset
        self._source = source
        self._blob = blob
        self._current = first
        self._retries = retries

    def __iter__(self) -> Iterator[bytes]:
        attempts = _Attempts(self._retries)
        position = reached = self.offset
        while True:
            try:
                for chunk in rest_of(self._current, position):
                    position += len(chunk)
                    yield chunk
                if position >= self._blob.size:
                    return
                raise self._short(position)
            except Transient as failure:
                self._current.close()
                if position - reached >= CHUNK:
                    attempts.progressed()
                    reached = position
                attempts.failed(failure)
                self._reopen(position, attempts)

    def _reopen(self, position: int, attempts: _Attempts) -> None:
        while True:
            try:
                self._current = self._source.open(self._blob, position)
                return
            except Transient as failure:
                attempts.failed(failure)

    def _short(self, position: int) -> Transient:
        return Transient(
            f"{self._source.name} sent too little of {self._blob.annotations.get(TITLE, self._blob.digest)}",
            because=f"it ended after {position} of {self._blob.size} bytes",
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._current.close()

    def abort(self) -> None:
        """End a read that another thread waits in."""
        self._current.abort()


def describe_wait(failure: Transient, delay: float) -> str:
    """What is said before a wait."""
    reason = f": {failure.because}" if failure.because else ""
    return f"{failure.what}{reason}; trying again in {format_duration(delay)}"
