"""Sending a file's bytes: ranges as RFC 9110 has them, and bodies that a fault spoils."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.world.hub.faults import Fault
from scripts.world.hub.snapshot import HubFile

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = 1 << 18


class Unsatisfiable(Exception):
    """The range lies outside the file."""


@dataclass(frozen=True)
class Span:
    """Bytes `first` up to and without `end`; `partial` when a range was asked for."""

    first: int
    end: int
    partial: bool

    @classmethod
    def asked(cls, header: str | None, size: int) -> Span:
        """The span that a Range header asks for; other forms than one range mean the whole."""
        match = _RANGE.fullmatch(header or "")
        if match is None or match.group() == "bytes=-":
            return cls(0, size, partial=False)
        first, last = match.groups()
        if not first:
            return cls(max(0, size - int(last)), size, partial=True)
        if int(first) >= size:
            raise Unsatisfiable
        return cls(int(first), min(int(last) + 1, size) if last else size, partial=True)

    def content_range(self, size: int) -> str:
        return f"bytes {self.first}-{self.end - 1}/{size}"


def reach(span: Span, fault: Fault) -> int:
    """How many bytes of a span are sent: fewer than it has where the fault cuts or stalls."""
    limits = [limit for limit in (fault.cut_after, fault.reset_after, fault.stall_after) if limit is not None]
    return min([span.end - span.first, *limits])


def spoiled(file: HubFile, span: Span, left: int) -> Iterator[bytes]:
    """So many bytes, one of which is wrong."""
    spoil = True
    with file.source.open("rb") as stream:
        stream.seek(span.first)
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            if spoil:
                middle = len(chunk) // 2
                chunk = chunk[:middle] + bytes((chunk[middle] ^ 1,)) + chunk[middle + 1 :]
                spoil = False
            yield chunk
