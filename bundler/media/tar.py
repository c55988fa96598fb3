"""The few bytes of the tar format that volumes consist of: always the same ones, so that a reader can compare them.

POSIX ustar; a member of 8 GiB or more has its size in base 256, as GNU tar, bsdtar, busybox and Python write and
read it. So every header is one block, and what a volume takes is known before it is written.
"""

from __future__ import annotations

import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)
_USTAR_LIMIT = 8 << 30


def member_header(path: str, size: int, mode: int) -> bytes:
    """The header block of a regular file of root, of the year 1970."""
    info = tarfile.TarInfo(path)
    info.size = size
    info.mode = mode
    if size < _USTAR_LIMIT:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def padding(size: int) -> int:
    """Zeros behind a member's bytes, to the end of its last block."""
    return -size % BLOCK


def room(size: int) -> int:
    """Bytes that a member takes: header, bytes, padding."""
    return BLOCK + size + padding(size)


def described(block: bytes) -> str:
    """What a header block says that is not the expected one: for an error message, never acted upon."""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except tarfile.HeaderError:
        return "bytes that are no tar header"
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.DIRTYPE: "a directory",
        tarfile.FIFOTYPE: "a pipe",
        tarfile.XHDTYPE: "a pax header",
        tarfile.XGLTYPE: "a pax header",
        tarfile.GNUTYPE_LONGNAME: "a long name",
        tarfile.GNUTYPE_LONGLINK: "a long name",
        tarfile.GNUTYPE_SPARSE: "a sparse file",
    }
    return f"{kinds.get(info.type, 'a file')} {info.name[:100]!r} of {info.size} bytes"
