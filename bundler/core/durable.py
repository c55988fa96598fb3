"""The one place that puts bytes under a final name: temporary name, fsync, rename, fsync of the directory.

Whoever dies in between leaves the old file or none, never a part of the new one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.core.errors import BundlerError, NoSpace


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a directory, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(temporary: Path, final: Path, *, mode: int = 0o644) -> None:
    """Give a whole, closed file its final name, durably. Replaces what was there."""
    handle = os.open(temporary, os.O_RDONLY)
    try:
        os.fchmod(handle, mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.rename(temporary, final)
    sync(final.parent)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a small file durably, all or nothing. Raises NoSpace, or WriteFailed with the reason."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            publish(temporary, path, mode=mode)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class WriteBehind:
    """Has the disk begin to write what a long file was given, so that the fsync at its end finds little to do.

    Without it the kernel may hold back gigabytes (vm.dirty_background_ratio), and the progress shown would run ahead
    of the disk. POSIX_FADV_DONTNEED starts the writing of a range and does not wait for it (Linux, mm/fadvise.c); it
    promises nothing, so `publish` syncs all the same.
    """

    WINDOW = 32 << 20
    """Bytes that are given to the disk at once."""

    def __init__(self, handle: int, offset: int = 0) -> None:
        """`handle` is the open file, `offset` how many bytes of it there are."""
        self._handle = handle
        self._given = offset

    def reached(self, offset: int) -> None:
        """The file has grown to so many bytes, or has been cut to them."""
        if offset < self._given:
            self._given = offset
        elif offset - self._given >= self.WINDOW:
            os.posix_fadvise(self._handle, self._given, offset - self._given, os.POSIX_FADV_DONTNEED)
            self._given = offset


class WriteFailed(BundlerError):
    """The operating system would not write."""


def refused(error: OSError, path: Path) -> BundlerError:
    """What the operating system's refusal of something at this path means: NoSpace or WriteFailed."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(
            f"no space left while writing {path}",
            because=os.strerror(error.errno),
            hint=f"df -h {path.parent}; df -i {path.parent}   # then run the same command again: it goes on",
        )
    return WriteFailed(
        f"{error.filename or path} can't be used",
        because=error.strerror or str(error),
        hint=f"ls -ld {path.parent}   # name a place that you may use, or change its owner",
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into errors that say where and what to do."""
    try:
        yield
    except OSError as error:
        raise refused(error, path) from error
