"""Tables for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a header, columns as wide as they need; wide characters (Chinese) count as two."""
    return "\n".join(columns([header, *rows]))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as a line, columns as wide as they need."""
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for cell, width in zip(row, widths, strict=True):
        if width:
            yield cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
