"""How many sequences LLaMA-Factory packs a dataset's records into: batch by batch, in their order.

Read from LLaMA-Factory 0.9.3 to 0.9.5, which do the same: data/processor/pretrain.py (all tokens of a batch in a row,
cut into blocks, the rest left out), supervised.py and processor_utils.py (greedy_knapsack: into each sequence the
longest record that still fits).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from typing import Literal

from bundler.planning.datasets.encode import BATCH

Way = Literal["blocks", "knapsack"]
"""Stage pt cuts blocks, stage sft fills sequences."""


class Packing:
    """Takes the records' tokens in, in their order; holds one batch of them at most."""

    def __init__(self, way: Way, cutoff: int, batch: int = BATCH) -> None:
        self._way = way
        self._cutoff = cutoff
        self._batch = batch
        self._waiting: list[int] = []
        self._packed = 0

    def take(self, counts: Sequence[int]) -> None:
        """Some records' tokens."""
        self._waiting += counts
        while len(self._waiting) >= self._batch:
            self._packed += self._pack(self._waiting[: self._batch])
            del self._waiting[: self._batch]

    def sequences(self) -> int:
        """Of all records taken in, the last batch as far as it goes."""
        return self._packed + self._pack(self._waiting)

    def _pack(self, counts: list[int]) -> int:
        return sum(counts) // self._cutoff if self._way == "blocks" else knapsacks(counts, self._cutoff)


def knapsacks(counts: list[int], cutoff: int) -> int:
    """How many sequences of `cutoff` tokens the records fill. A longer one was truncated to it before."""
    left = sorted(min(count, cutoff) for count in counts)
    filled = 0
    while left:
        room = cutoff
        while at := bisect(left, room):
            room -= left.pop(at - 1)
        filled += 1
    return filled
