"""What a training left so far in its results directory, read while it may still write there."""

from __future__ import annotations

import os
from pathlib import Path

from bundler.workloads.training_log import Progress, progress

LOG, STATE = "trainer_log.jsonl", "trainer_state.json"
_TAIL = 64 << 10
"""Bytes from the log's end that hold the last lines many times over; the log of a long training has megabytes."""


def training_progress(results: Path) -> Progress | None:
    """How far the training that writes there is; None where it has not said so yet."""
    return progress(read_end(results / LOG), b"") or progress(b"", newest_state(results))


def newest_state(results: Path) -> bytes:
    """The trainer's state at the end, else of the newest checkpoint; empty where there is none."""
    checkpoints = (path for path in results.glob("checkpoint-*") if path.name[11:].isdigit())
    newest = sorted(checkpoints, key=lambda path: int(path.name[11:]), reverse=True)
    return next((text for place in (results, *newest) if (text := read_all(place / STATE))), b"")


def read_end(path: Path) -> bytes:
    """The last lines of a file; empty where it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read()
    except OSError:
        return b""


def read_all(path: Path) -> bytes:
    """A file; empty where it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
