"""A long file is given to the disk while it grows. What the user would lose: bytes, or the minutes of a late fsync."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundler.core.durable import WriteBehind


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was handed to the disk: first byte, bytes. The kernel is told all the same."""
    ranges: list[tuple[int, int]] = []
    advise = os.posix_fadvise

    def note(handle: int, offset: int, length: int, advice: int) -> None:
        ranges.append((offset, length))
        advise(handle, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(WriteBehind, "WINDOW", 1000)
    return ranges


def test_each_stretch_of_a_growing_file_goes_to_the_disk_once_and_keeps_its_bytes(
    tmp_path: Path, given: list[tuple[int, int]]
) -> None:
    with (tmp_path / "blob").open("wb", buffering=0) as file:
        behind = WriteBehind(file.fileno())
        for number in range(10):
            file.write(bytes([number]) * 400)
            behind.reached(file.tell())
    assert given == [(0, 1200), (1200, 1200), (2400, 1200)]
    assert (tmp_path / "blob").read_bytes() == b"".join(bytes([number]) * 400 for number in range(10))


def test_what_was_there_before_is_not_given_again_and_a_file_that_was_cut_begins_anew(
    tmp_path: Path, given: list[tuple[int, int]]
) -> None:
    with (tmp_path / "blob").open("wb", buffering=0) as file:
        behind = WriteBehind(file.fileno(), 5000)
        behind.reached(6000)
        behind.reached(0)
        behind.reached(1500)
    assert given == [(5000, 1000), (0, 1500)]
