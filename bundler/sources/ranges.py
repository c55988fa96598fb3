"""One large blob over several connections: parts come in any order and leave in theirs, so that it is hashed once.

Memory is bounded by a window: a part is begun only when it is at most so many parts ahead of what has been taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bundler.core.descriptor import Descriptor
from bundler.sources.retry import Retries, Retrying, Transient
from bundler.sources.source import CHUNK, BlobSource, InParts, Stream

LARGE = 64 << 20
"""Bytes that must be left of a blob to ask for them in parts: below that, connecting costs more than it gains."""
MEMORY = 24 << 20
"""Bytes that all parts in flight may hold, of all blobs together; one part more is being taken."""
LONGEST = 8 << 20


def part_size(streams: int) -> int:
    """Bytes of a part, for so many connections in all."""
    return min(LONGEST, MEMORY // streams)


@dataclass(frozen=True, slots=True)
class _UpTo:
    """A source whose blobs end where their descriptor says: at the end of a part."""

    inner: BlobSource

    @property
    def name(self) -> str:
        """The inner source's."""
        return self.inner.name

    @property
    def suspicion(self) -> str:
        """The inner source's."""
        return self.inner.suspicion

    @property
    def remedy(self) -> str:
        """The inner source's."""
        return self.inner.remedy

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read what is left of the part."""
        assert isinstance(self.inner, InParts)
        return self.inner.open_part(blob, offset, blob.size)


@dataclass(slots=True)
class _Part:
    """A part in flight: how many bytes of it have come into its buffer, and how many of those were taken."""

    stream: Stream
    buffer: bytearray
    come: int = 0
    taken: int = 0
    whole: bool = False


class Ranges:
    """A Stream that reads ahead in parts, over `connections`. Each part is mended by itself, as `retries` say.

    The buffers are used again and again: chunks of the odd sizes that a network gives, kept until their turn, would
    tear the heap so that it took three times their bytes.
    """

    def __init__(
        self, source: BlobSource, blob: Descriptor, offset: int, *, connections: int, size: int, retries: Retries
    ) -> None:
        """Opens the first part of `size` bytes. Raises NoRanges, NetworkFailed."""
        self.offset = offset
        self._blob = blob
        self._source = Retrying(_UpTo(source), retries)
        self._size = size
        self._count = -(-(blob.size - offset) // size)
        self._connections = min(connections, self._count)
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._taken = 0
        self._begun = 1
        self._spare: list[bytearray] = []
        self._parts = {0: self._open(0)}

    def __iter__(self) -> Iterator[bytes]:
        for first in range(self._connections):
            threading.Thread(target=self._serve, args=(first == 0,), daemon=True).start()
        while self._taken < self._count:
            with self._changed:
                self._changed.wait_for(self._ready)
                if self._failure is not None:
                    raise self._failure
                part = self._parts[self._taken]
                first, part.taken = part.taken, part.come
                last, whole = part.come, part.whole
                if whole:
                    del self._parts[self._taken]
                    self._taken += 1
                    self._changed.notify_all()
            for start in range(first, last, CHUNK):
                with self._changed, memoryview(part.buffer) as view:
                    chunk = bytes(view[start : min(start + CHUNK, last)])
                yield chunk
            if whole:
                with self._changed:
                    self._spare.append(part.buffer)

    def close(self) -> None:
        """End what is in flight; what was not taken of it is dropped."""
        self.abort()

    def abort(self) -> None:
        """End a read that another thread waits in, and all that read ahead."""
        with self._changed:
            self._fail(Transient(f"reading from {self._source.name} was ended"))
            for part in self._parts.values():
                part.stream.abort()

    def _ready(self) -> bool:
        part = self._parts.get(self._taken)
        return self._failure is not None or (part is not None and (part.whole or part.come > part.taken))

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        self._changed.notify_all()

    def _open(self, number: int) -> _Part:
        start = self.offset + number * self._size
        end = min(start + self._size, self._blob.size)
        stream = self._source.open(replace(self._blob, size=end), start)
        with self._changed:
            buffer = self._spare.pop() if self._spare else bytearray(self._size)
        return _Part(stream, buffer)

    def _serve(self, first: bool) -> None:
        """One connection: parts until there are none left to begin."""
        try:
            if first:
                self._pour(self._parts[0])
            while (number := self._next()) is not None:
                part = self._open(number)
                with self._changed:
                    self._parts[number] = part
                self._pour(part)
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that iterates
            with self._changed:
                self._fail(failure)

    def _next(self) -> int | None:
        """The number of a part to begin, once it is near enough to what is being taken."""
        with self._changed:
            self._changed.wait_for(self._may_go_on)
            if self._failure is not None or self._begun >= self._count:
                return None
            self._begun += 1
            return self._begun - 1

    def _may_go_on(self) -> bool:
        done = self._failure is not None or self._begun >= self._count
        return done or self._begun < self._taken + self._connections

    def _pour(self, part: _Part) -> None:
        try:
            for chunk in part.stream:
                with self._changed:
                    if self._failure is not None:
                        return
                    part.buffer[part.come : part.come + len(chunk)] = chunk
                    part.come += len(chunk)
                    self._changed.notify_all()
        finally:
            part.stream.close()
        with self._changed:
            part.whole = True
            self._changed.notify_all()
