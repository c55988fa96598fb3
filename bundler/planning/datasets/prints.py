"""Which records were there before: 64-bit hashes in 16 to 32 bytes of memory each, a fifth of what a set takes."""

from __future__ import annotations

from array import array

LARGEST = 8_000_000
"""So many records are remembered, in 128 MiB at most; later ones are looked up and not added."""
_BITS = (1 << 64) - 1
_SMALLEST = 1 << 10


class Prints:
    """Hashes in a table with open addressing, at most half full. Two records with one hash count as one."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SMALLEST))
        self._mask = _SMALLEST - 1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def whole(self) -> bool:
        """Whether all that were added are remembered."""
        return self._count < LARGEST

    def __contains__(self, value: int) -> bool:
        wanted = value & _BITS or 1  # 0 marks a free slot
        slots, mask = self._slots, self._mask
        at = wanted & mask
        while found := slots[at]:
            if found == wanted:
                return True
            at = (at + 1) & mask
        return False

    def add(self, value: int) -> bool:
        """Whether it is new. Beyond LARGEST nothing is added."""
        wanted = value & _BITS or 1
        slots, mask = self._slots, self._mask
        at = wanted & mask
        while found := slots[at]:
            if found == wanted:
                return False
            at = (at + 1) & mask
        if self._count < LARGEST:
            slots[at] = wanted
            self._count += 1
            if self._count * 2 > mask:
                self._grow()
        return True

    def _grow(self) -> None:
        old = self._slots
        size = 2 * len(old)
        slots, mask = array("Q", bytes(8 * size)), size - 1
        for value in old:
            if value:
                at = value & mask
                while slots[at]:
                    at = (at + 1) & mask
                slots[at] = value
        self._slots, self._mask = slots, mask
