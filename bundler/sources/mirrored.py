"""An image's repository with mirrors in front: asked in order, each left at its first failure, the registry last.

A mirror need not be trusted for what is asked by digest. For a tag it has to be: what it says is what gets pinned,
so it is told which mirror said it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.core.errors import BundlerError, IntegrityFailed, NetworkFailed
from bundler.core.events import Events, Noted, Warned
from bundler.core.reference import Reference
from bundler.manifest.mirrors import Mirrors
from bundler.sources.http import Http, NoRanges, Refused, Timeouts
from bundler.sources.registry import Manifest, Registry
from bundler.sources.retry import Retries, Retrying, RetryPolicy
from bundler.sources.source import Stream, rest_of

STEP = "resolve"
BRIEF = Retries(RetryPolicy(attempts=2, first=0.5, longest=1.0, patience=3.0))
"""There is another place to ask, so a mirror is not waited for."""
HURRIED = Timeouts(connect=5.0, read=20.0)

Open = Callable[[Registry, Descriptor, int], Stream]


def mirrored(registry: Registry, reference: Reference, mirrors: Mirrors, events: Events) -> Registry | Mirrored:
    """The registry behind its mirrors; alone where it has none."""
    places = mirrors.of(reference)
    if not places:
        return registry
    http = Http(timeouts=HURRIED)
    return Mirrored([*(Registry(place, http, BRIEF) for place in places), registry], reference, events)


class Mirrored:
    """A repository in several places, as a BlobSource. For all threads."""

    def __init__(self, places: Sequence[Registry], reference: Reference, events: Events) -> None:
        self._places = tuple(places)
        self._last = len(places) - 1
        self._reference = reference
        self._events = events
        self._lock = threading.Lock()
        self._failed: set[int] = set()
        self._first: dict[Digest, int] = {}

    @property
    def name(self) -> str:
        """The registry's own."""
        return self._places[self._last].name

    @property
    def suspicion(self) -> str:
        """The registry's own."""
        return self._places[self._last].suspicion

    @property
    def remedy(self) -> str:
        """The registry's own."""
        return self._places[self._last].remedy

    def manifest(self) -> Manifest:
        """What the reference names, by the first place that answers. Raises as Registry.manifest."""
        number, manifest = self._ask(lambda place: place.manifest())
        if number != self._last and self._reference.digest is None:
            said = f"the mirror {self._places[number].name} says that it is {manifest.digest}"
            self._events.emit(Noted(STEP, f"{self._reference}: {said}"))
        return manifest

    def manifest_at(self, digest: Digest) -> Manifest:
        """The manifest with this digest. Raises as Registry.manifest_at."""
        return self._ask(lambda place: place.manifest_at(digest))[1]

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read a blob. Raises as Registry.open."""
        return self._open(blob, offset, lambda place, wanted, at: place.open(wanted, at))

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read a part of a blob. Raises as Registry.open_part."""
        wanted = replace(blob, size=end)  # it ends there, for who counts what came
        return self._open(wanted, offset, lambda place, part, at: place.open_part(part, at, end))

    def doubt(self, blob: Descriptor) -> bool:
        """The bytes that came were wrong: ask the next from now on, if there is one."""
        number = self._current(blob)
        if number == self._last:
            return False
        with self._lock:
            self._first[blob.digest] = number + 1
        self._tell(number, f"its bytes of {blob.digest} are wrong")
        return True

    def _ask(self, request: Callable[[Registry], Manifest]) -> tuple[int, Manifest]:
        for number, place in enumerate(self._places[: self._last]):
            if number in self._failed:
                continue
            try:
                return number, request(place)
            except (NetworkFailed, IntegrityFailed) as failure:
                self._pass_over(number, failure)
        return self._last, request(self._places[self._last])

    def _open(self, blob: Descriptor, offset: int, how: Open) -> Stream:
        while (number := self._current(blob)) < self._last:
            mirror = Retrying(_Opened(self._places[number], how), BRIEF)
            try:
                stream = mirror.open(blob, offset)
            except NoRanges:
                raise
            except (NetworkFailed, IntegrityFailed) as failure:
                self._leave(number, blob, failure)
            else:
                return _Guarded(stream, self._successor(number, blob, how))
        return how(self._places[self._last], blob, offset)

    def _successor(self, number: int, blob: Descriptor, how: Open) -> Callable[[BundlerError, int], Stream]:
        def after(failure: BundlerError, position: int) -> Stream:
            self._leave(number, blob, failure)
            return self._open(blob, position, how)

        return after

    def _current(self, blob: Descriptor) -> int:
        """The first place that has failed neither for this blob nor altogether."""
        with self._lock:
            number = self._first.get(blob.digest, 0)
            while number in self._failed:
                number += 1
            return number

    def _leave(self, number: int, blob: Descriptor, failure: BundlerError) -> None:
        with self._lock:
            self._first[blob.digest] = max(number + 1, self._first.get(blob.digest, 0))
        self._pass_over(number, failure)

    def _pass_over(self, number: int, failure: BundlerError) -> None:
        """Tell, once; what is not there is not held against the rest, anything else is."""
        with self._lock:
            known = number in self._failed
            if not _not_there(failure):
                self._failed.add(number)
        if not known:
            self._tell(number, f"{failure.what}{f': {failure.because}' if failure.because else ''}")

    def _tell(self, number: int, why: str) -> None:
        self._events.emit(Warned(f"mirror {self._places[number].name} is passed over: {why}"))


def _not_there(failure: BundlerError) -> bool:
    return isinstance(failure.__cause__, Refused) and failure.__cause__.status == 404


@dataclass(frozen=True, slots=True)
class _Opened:
    """A mirror that is opened in one way: whole, or in a part."""

    place: Registry
    how: Open

    @property
    def name(self) -> str:
        """The mirror's."""
        return self.place.name

    @property
    def suspicion(self) -> str:
        """The mirror's."""
        return self.place.suspicion

    @property
    def remedy(self) -> str:
        """The mirror's."""
        return self.place.remedy

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read."""
        return self.how(self.place, blob, offset)


class _Guarded:
    """A mirror's stream that goes on at the next place, where it stands, when the mirror fails."""

    def __init__(self, stream: Stream, after: Callable[[BundlerError, int], Stream]) -> None:
        self.offset = stream.offset
        self._current = stream
        self._after = after
        self._aborted = False

    def __iter__(self) -> Iterator[bytes]:
        position = self.offset
        try:
            for chunk in self._current:
                position += len(chunk)
                yield chunk
            return
        except NoRanges:
            raise
        except (NetworkFailed, IntegrityFailed) as failure:
            self._current.close()
            if self._aborted:
                raise
            self._current = self._after(failure, position)
        yield from rest_of(self._current, position)

    def close(self) -> None:
        """Let go of the connection."""
        self._current.close()

    def abort(self) -> None:
        """End a read that another thread waits in."""
        self._aborted = True
        self._current.abort()
