"""The seam of this room: where a blob's bytes come from, and a stream of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bundler.core.descriptor import Descriptor

CHUNK = 1 << 18
"""Bytes read at once: enough that the interpreter is not felt, little enough for many threads to hold one each."""


class Stream(Protocol):
    """A blob's bytes from `offset` on, which is 0 where the source can't begin later."""

    @property
    def offset(self) -> int:
        """Where the first chunk stands in the blob, in bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """The chunks. Raises Transient where the connection fails, NetworkFailed where it is of no use."""
        ...

    def close(self) -> None:
        """Let go of the connection or the file. For the thread that reads."""
        ...

    def abort(self) -> None:
        """End a read that another thread waits in. May be called at any time, from any thread."""
        ...


class BlobSource(Protocol):
    """Somewhere that blobs can be read from."""

    @property
    def name(self) -> str:
        """What it is, for people: a registry and a repository, a hub's model, a directory."""
        ...

    @property
    def suspicion(self) -> str:
        """Why bytes that come from it would be wrong, for people."""
        ...

    @property
    def remedy(self) -> str:
        """What to do then."""
        ...

    def open(self, blob: Descriptor, offset: int) -> Stream:
        """Begin to read at `offset`, or at 0. Raises Transient or NetworkFailed."""
        ...


@runtime_checkable
class InParts(Protocol):
    """A source that a part of a blob can be asked of, so that several parts come at once."""

    def open_part(self, blob: Descriptor, offset: int, end: int) -> Stream:
        """Begin to read the bytes from `offset` up to, not with, `end`.

        Raises NoRanges where the server gives only the whole; Transient or NetworkFailed.
        """
        ...


@runtime_checkable
class Elsewhere(Protocol):
    """A source of several places."""

    def doubt(self, blob: Descriptor) -> bool:
        """The bytes that came were wrong. Returns whether there is another place to ask, which then is."""
        ...


def rest_of(stream: Stream, position: int) -> Iterator[bytes]:
    """The chunks from `position` on; a stream that began earlier is read up to there."""
    surplus = position - stream.offset
    for chunk in stream:
        if surplus >= len(chunk):
            surplus -= len(chunk)
        else:
            yield chunk[surplus:] if surplus else chunk
            surplus = 0


@dataclass(frozen=True, slots=True)
class Download:
    """A blob to be fetched: which, what it is for people, and where from."""

    blob: Descriptor
    label: str
    source: BlobSource
