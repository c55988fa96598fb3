"""How fast the disk below the store writes and reads: a file without a name, which no end of this program leaves."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIZE = 1 << 30
"""Bytes of the file: more than the caches of most disks, and seconds on a hard disk."""
PATIENCE = 5.0
"""Seconds for writing, and again for reading; what has been moved by then is what is judged."""
_BLOCK = 16 << 20
_ROOM = 4
"""How many times the file must fit, so that nothing else runs out of room meanwhile."""


@dataclass(frozen=True, slots=True)
class DiskRate:
    """What was measured below `path`: bytes and seconds of writing, synced, and of reading back.

    `direct` says that the kernel's page cache was left out; `same` that what came back is what went.
    """

    path: str
    written: int
    write_seconds: float
    read: int
    read_seconds: float
    direct: bool
    same: bool

    @property
    def write_rate(self) -> float:
        """Bytes a second."""
        return self.written / self.write_seconds

    @property
    def read_rate(self) -> float:
        """Bytes a second."""
        return self.read / self.read_seconds


def measure(
    directory: Path, size: int = SIZE, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
) -> DiskRate:
    """Write and read back a file in this directory. Raises OSError, of which ENOSPC before anything is written.

    What is written can't be squeezed. The file has no name (open(2), O_TMPFILE; else it is unlinked at once): after
    Ctrl-C, and after SIGKILL, the kernel frees it.
    """
    status = os.statvfs(directory)
    if status.f_bavail * status.f_frsize < _ROOM * size:
        raise OSError(errno.ENOSPC, "too little room to measure in", str(directory))
    # of a page's alignment, as O_DIRECT asks
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file, mmap.mmap(-1, _BLOCK) as block:
        pattern = os.urandom(_BLOCK)
        block[:] = pattern
        descriptor = file.fileno()
        direct = _directly(descriptor)
        written, write_seconds = _write(descriptor, block, direct, size, patience, clock)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(descriptor, 0, os.SEEK_SET)
        read, read_seconds, same = _read(descriptor, block, pattern, written, patience, clock)
        return DiskRate(str(directory), written, write_seconds, read, read_seconds, direct, same)


def _directly(descriptor: int) -> bool:
    """Whether the page cache can be left out: tmpfs and some network file systems refuse (open(2), O_DIRECT)."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError:
        return False
    return True


def _write(
    descriptor: int, block: mmap.mmap, direct: bool, size: int, patience: float, clock: Callable[[], float]
) -> tuple[int, float]:
    """Whole blocks, until the size or the time is reached; then fsync, which counts. At least one block."""
    written = 0
    began = clock()
    while written < size and (not written or clock() - began < patience):
        if os.write(descriptor, block) != _BLOCK:
            raise OSError(errno.EIO, "the disk took less than it was given")
        written += _BLOCK
        if not direct:  # else all of it would be in the cache, and syncing it would take as long as it takes
            os.fdatasync(descriptor)
    os.fsync(descriptor)
    return written, clock() - began


def _read(
    descriptor: int, block: mmap.mmap, pattern: bytes, size: int, patience: float, clock: Callable[[], float]
) -> tuple[int, float, bool]:
    """Whole blocks; comparing them is not counted."""
    read, seconds, same = 0, 0.0, True
    while read < size and (not read or seconds < patience):
        began = clock()
        count = os.readv(descriptor, [block])
        seconds += clock() - began
        same = same and count == _BLOCK and block[:] == pattern
        read += _BLOCK
    return read, seconds, same
