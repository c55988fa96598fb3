"""How long a dataset's records are, in tokens: what is kept of the counts, in memory that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bundler.planning.datasets.verdict import Place

LONGEST = 5
"""So many of the longest records are named."""
MANY = 0.05
"""A greater share of truncated records is warned of."""
_BARS = 16


@dataclass(frozen=True, slots=True)
class Bar:
    """Records of `first` tokens and more, fewer than `end`."""

    first: int
    end: int
    records: int


@dataclass(frozen=True, slots=True)
class Long:
    """One of the longest records."""

    place: Place
    tokens: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in tokens of `records` records, before any is truncated to `cutoff_len`. See docs/data.md.

    `sampled` says that they are an evenly spaced part of all that are kept. `median` and `p95` are lengths of records:
    half, and 95 of a hundred, are no longer. `tokens` is the sum of them all. `packed` are the sequences that the
    counted records are packed into, None where they are not: see packing.py. They were read from so many `files`.
    """

    tokenizer: str
    cutoff_len: int
    records: int
    sampled: bool
    truncated: int
    median: int
    p95: int
    longest: tuple[Long, ...]
    histogram: tuple[Bar, ...]
    tokens: int = 0
    packed: int | None = None
    files: int = 1

    @property
    def truncated_share(self) -> float:
        """Of all that were counted, from 0 to 1."""
        return self.truncated / self.records if self.records else 0.0


class Spread:
    """Takes counts in."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._longest: list[Long] = []

    def take(self, counts: Sequence[int], places: Sequence[Callable[[], Place]]) -> None:
        """Some records' tokens. A place is asked for only where a record is among the longest: it counts lines."""
        self._counts.update(counts)
        first = sorted(range(len(counts)), key=lambda number: -counts[number])[:LONGEST]
        least = self._longest[-1].tokens if len(self._longest) == LONGEST else -1
        found = [Long(places[number](), counts[number]) for number in first if counts[number] > least]
        self._longest = sorted((*self._longest, *found), key=lambda long: -long.tokens)[:LONGEST]

    def lengths(self, tokenizer: str, cutoff: int, *, sampled: bool, truncates: bool = True) -> Lengths | None:
        """All of it; None where there was no record. `truncates` is False where records are cut into blocks."""
        total = self._counts.total()
        if not total:
            return None
        truncated = sum(count for tokens, count in self._counts.items() if tokens > cutoff) if truncates else 0
        p95 = self._quantile(0.95)
        return Lengths(
            tokenizer=tokenizer,
            cutoff_len=cutoff,
            records=total,
            sampled=sampled,
            truncated=truncated,
            median=self._quantile(0.5),
            p95=p95,
            longest=tuple(self._longest),
            histogram=self._bars(p95),
            tokens=sum(tokens * count for tokens, count in self._counts.items()),
        )

    def _quantile(self, share: float) -> int:
        wanted = max(1, -int(-self._counts.total() * share // 1))
        for tokens in sorted(self._counts):
            wanted -= self._counts[tokens]
            if wanted <= 0:
                return tokens
        raise AssertionError("there are no counts")

    def _bars(self, p95: int) -> tuple[Bar, ...]:
        """Bars of one width as far as the 95th percentile; the last one takes in all that is longer."""
        width = _round_up(max(1, (p95 + 1 + _BARS - 1) // _BARS))
        number = p95 // width + 1
        records = [0] * number
        for tokens, count in self._counts.items():
            records[min(tokens // width, number - 1)] += count
        ends = [(index + 1) * width for index in range(number)]
        ends[-1] = max(ends[-1], max(self._counts) + 1)
        return tuple(Bar(index * width, ends[index], records[index]) for index in range(number))


def _round_up(width: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor >= width:
                return step * factor
        step *= 10
