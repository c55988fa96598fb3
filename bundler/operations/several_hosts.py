"""The same work for several hosts at once: one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bundler.core.errors import BundlerError, UsageInvalid
from bundler.core.events import Event, Events, Warned
from bundler.transport.destination import Destination
from bundler.transport.remote_store import RemoteStore

T = TypeVar("T")
_CANCEL_EVERY = 0.1


class SameDestinationTwice(UsageInvalid):
    """One store is named twice."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(f"{destination} is named twice", hint="name each host and directory once")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of the work for one host: a result, or a failure."""

    destination: Destination
    result: T | None = None
    failure: BundlerError | None = None

    def done(self) -> T:
        """The result. Raises the failure."""
        if self.failure:
            raise self.failure
        assert self.result is not None
        return self.result


class OfHost:
    """Events of one host among several: each step says which."""

    def __init__(self, inner: Events, destination: Destination) -> None:
        self._inner = inner
        self._name = str(destination)

    def emit(self, event: Event) -> None:
        """Pass on, with the host's name."""
        if isinstance(event, Warned):
            self._inner.emit(Warned(f"{self._name}: {event.text}"))
        else:
            self._inner.emit(replace(event, step=f"{event.step} {self._name}"))


def distinct(destinations: Sequence[Destination]) -> None:
    """Raises SameDestinationTwice."""
    seen: set[tuple[str, str, int, str]] = set()
    for one in destinations:
        key = (one.user, one.host, one.port, one.directory.rstrip("/"))
        if key in seen:
            raise SameDestinationTwice(one)
        seen.add(key)


def each(
    remotes: Sequence[tuple[Destination, RemoteStore]], work: Callable[[Destination, RemoteStore], T]
) -> tuple[Outcome[T], ...]:
    """Work for all hosts at once. Returns when each has ended, in their order.

    Anything but a BundlerError, Ctrl-C too, has all of them end, and is raised.
    """

    def one(destination: Destination, remote: RemoteStore) -> Outcome[T]:
        try:
            return Outcome(destination, work(destination, remote))
        except BundlerError as error:
            return Outcome(destination, failure=error)

    with ThreadPoolExecutor(max(1, len(remotes))) as pool:
        futures = [pool.submit(one, destination, remote) for destination, remote in remotes]
        try:
            return tuple(future.result() for future in futures)
        except BaseException:
            pending = set(futures)
            while pending:  # a step that begins forgets what the one before it was told
                for _, remote in remotes:
                    remote.cancel()
                _, pending = wait(pending, timeout=_CANCEL_EVERY)
            raise
