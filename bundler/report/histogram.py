"""Token lengths as columns, with the line at which `cutoff_len` cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bundler.report.figures import count
from bundler.report.svg import figure, line, rect, text

_TOP, _HEIGHT = 26, 130
_LABELS = 6


@dataclass(frozen=True, slots=True)
class Bucket:
    """Records of `first` tokens and more, fewer than `end`."""

    first: int
    end: int
    records: int

    @property
    def width(self) -> int:
        """Lengths that it takes in."""
        return max(1, self.end - self.first)


def histogram(name: str, buckets: Sequence[Bucket], cutoff: int) -> Markup:
    """Columns of equal width, one a bucket, whatever the buckets span; what lies behind the cut is marked."""
    most = max(one.records for one in buckets) or 1
    described = (
        f"{count(sum(one.records for one in buckets))} records of {count(buckets[0].first)} to "
        f"{count(buckets[-1].end - 1)} tokens in {len(buckets)} columns, the highest of {count(most)} records. "
        f"The cut is at {count(cutoff)} tokens."
    )
    cut = _place(buckets, cutoff)
    foot = _TOP + _HEIGHT
    drawn = [*_grid(most), *_columns(buckets, most, cut), *_labels(buckets)]
    if cut is not None:
        drawn += [
            line(cut, 18, cut, foot, "limit"),
            text(cut, 13, f"cutoff_len {count(cutoff)}", "label strong", _anchor(cut)),
        ]
    return figure(f"Token lengths of {name}", described, foot + 24, drawn)


def _anchor(at: float) -> str:
    return "start" if at < 0.25 else "end" if at > 0.75 else "middle"


def _place(buckets: Sequence[Bucket], tokens: int) -> float | None:
    """Where so many tokens lie along the columns; None where that is in front of them or behind."""
    for at, one in enumerate(buckets):
        if one.first <= tokens < one.end:
            return (at + (tokens - one.first + 1) / one.width) / len(buckets)
    return None


def _columns(buckets: Sequence[Bucket], most: int, cut: float | None) -> Iterator[Markup]:
    width = 1 / len(buckets)
    foot = _TOP + _HEIGHT
    behind = cut if cut is not None else 1.0
    for at, one in enumerate(buckets):
        high = max(1.0, one.records / most * _HEIGHT) if one.records else 0.0
        tip = f"{count(one.first)} to {count(one.end - 1)} tokens: {count(one.records)} records"
        left, right = at * width, (at + 1) * width
        split = min(max(behind, left), right)
        if split > left:
            yield rect(left, foot - high, split - left, high, "part blue", tip)
        if split < right:
            yield rect(split, foot - high, right - split, high, "part orange", tip)


def _grid(most: int) -> Iterator[Markup]:
    foot = _TOP + _HEIGHT
    for part in (0.5, 1.0):
        yield line(0, foot - part * _HEIGHT, 1, foot - part * _HEIGHT, "grid")
    yield line(0, foot, 1, foot, "base")
    yield text(0, _TOP - 4, count(most), "label", "start")


def _labels(buckets: Sequence[Bucket]) -> Iterator[Markup]:
    every = -(-len(buckets) // _LABELS)
    for at in range(0, len(buckets), every):
        yield text(at / len(buckets), _TOP + _HEIGHT + 18, count(buckets[at].first), "label", None if at else "start")
    if (len(buckets) - 1) // every * every < len(buckets) - every / 2:
        yield text(1, _TOP + _HEIGHT + 18, _last(buckets), "label", "end")


def _last(buckets: Sequence[Bucket]) -> str:
    """What the last column ends with; "longer" where it takes in more than the others do."""
    return "longer" if buckets[-1].width > buckets[0].width else count(buckets[-1].end)
