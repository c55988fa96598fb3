"""A blob that goes in ranges over several connections: which are there, which are on their way, which are left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from bundler.store.closure import Member

RANGE = 32 << 20
"""Bytes of a range. Less would be felt (a dd each), more would be sent twice where a far end is killed."""

SPLIT_FROM = 64 << 20
"""Bytes from which a blob is split: of less, a connection of its own for the hash would cost more than is won."""

_BLOCK = 256 << 10  # what the far end's dd writes at once; ranges begin at multiples
_LEAST = 1 << 20
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """A part of a blob for one connection."""

    split: Split
    offset: int
    count: int


@dataclass(slots=True, eq=False)
class Split:
    """One blob of which the host has these spans (begin, end) of the `length` bytes that its file is long.

    `first` is the far end's name for the file. Not for several threads: the shipment's lock guards it.
    """

    member: Member
    first: str
    arrived: list[Span]
    _left: deque[Span] = field(default_factory=deque)
    _going: dict[Range, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, member: Member, first: str, spans: Iterable[Span], length: int) -> Split:
        """What is missing is cut into ranges, the first bytes first, so that the hash has something to follow."""
        end = min(length, member.blob.size)
        arrived = merged((begin, min(stop, end)) for begin, stop in spans)
        split = cls(member, first, arrived)
        at = 0
        for begin, stop in [*arrived, (member.blob.size, member.blob.size)]:
            split._left.extend(_cut(at, begin))
            at = stop
        return split

    @property
    def prefix(self) -> int:
        """Bytes that are there without a hole."""
        return self.arrived[0][1] if self.arrived and self.arrived[0][0] == 0 else 0

    @property
    def left(self) -> bool:
        """Whether a range waits for a connection."""
        return bool(self._left)

    @property
    def position(self) -> int:
        """Bytes that are there or on their way."""
        there = sum(stop - begin for begin, stop in self.arrived)
        return min(self.member.blob.size, there + sum(self._going.values()))

    def take(self) -> Range:
        """The next range."""
        begin, stop = self._left.popleft()
        taken = Range(self, begin, stop - begin)
        self._going[taken] = 0
        return taken

    def moved(self, part: Range, count: int) -> None:
        """So many bytes of a range are on their way."""
        self._going[part] = count

    def came(self, part: Range) -> None:
        """The host has all of a range."""
        self._going.pop(part, None)
        self.arrived = merged([*self.arrived, (part.offset, part.offset + part.count)])

    def give_back(self, part: Range) -> None:
        """A range has not arrived: it is the next to go, in halves, so that a bad line brings some of it over."""
        if self._going.pop(part, None) is None:
            return
        half = part.count // 2 // _BLOCK * _BLOCK if part.count >= 2 * _LEAST else 0
        spans = [(part.offset, part.offset + half), (part.offset + half, part.offset + part.count)]
        self._left.extendleft(span for span in reversed(spans) if span[0] < span[1])


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes in as few spans as can be, in order."""
    together: list[Span] = []
    for begin, stop in sorted(span for span in spans if span[0] < span[1]):
        if together and begin <= together[-1][1]:
            together[-1] = (together[-1][0], max(stop, together[-1][1]))
        else:
            together.append((begin, stop))
    return together


def _cut(begin: int, stop: int) -> list[Span]:
    if begin >= stop:
        return []
    begin = begin // _BLOCK * _BLOCK
    return [(at, min(at + RANGE, stop)) for at in range(begin, stop, RANGE)]
