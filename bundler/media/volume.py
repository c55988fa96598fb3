"""Reading a volume that anyone may have written: nothing in it is believed but what hashes to its name.

A volume's first member lists all others, and their headers follow from that list. So a tar is not parsed but
compared: a path that leads out, a link, a device, a sparse file, a pax header are all just not the expected block.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundler.core.digest import Digest
from bundler.core.errors import IntegrityFailed
from bundler.core.strict_json import LIMIT
from bundler.media.header import Header, Piece, decode_end, encode_end
from bundler.media.tar import BLOCK, END, described, member_header, room

_CHUNK = 1 << 20


class BadVolume(IntegrityFailed):
    """A volume that is not as it was written; the others are taken all the same."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"volume {path} is bad: {problem}",
            because="it was damaged or changed on its way; what other volumes hold is kept",
            hint=f"copy {path.name} again, then: bundle import {path} --store DIR",
        )
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume to read: its file, or the directory that it was unpacked into; where each member's bytes begin."""

    path: Path
    header: Header
    offsets: dict[str, int]
    ends: dict[str, Digest]
    unpacked: bool = False

    def chunks(self, piece: Piece, skip: int = 0) -> Iterator[bytes]:
        """A member's bytes behind the first `skip`. Raises BadVolume where they end early or can't be read."""
        path = self.path / piece.path if self.unpacked else self.path
        try:
            with _opened(path) as file:
                file.seek((0 if self.unpacked else self.offsets[piece.path]) + skip)
                left = piece.size - skip
                while left:
                    chunk = file.read(min(left, _CHUNK))
                    if not chunk:
                        raise BadVolume(self.path, f"{piece.path} ends {left} bytes early")
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise BadVolume(self.path, f"{piece.path} can't be read: {error.strerror}") from error

    def small(self, piece: Piece) -> bytes:
        """A small member's bytes, checked. Raises BadVolume."""
        if piece.size > LIMIT:
            raise BadVolume(self.path, f"{piece.path} is too long to be metadata")
        raw = b"".join(self.chunks(piece))
        if hashlib.sha256(raw).hexdigest() != piece.digest.hex:
            raise BadVolume(self.path, f"{piece.path} has other bytes than its digest says")
        return raw


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "it is not a regular file")
        yield file


def open_volume(path: Path) -> Volume:
    """Read a volume's list and compare every header in it. Raises BadVolume."""
    try:
        with _opened(path) as file:
            return _read(path, file)
    except OSError as error:
        raise BadVolume(path, f"it can't be read: {error.strerror}") from error
    except BadVolume:
        raise
    except IntegrityFailed as error:
        raise BadVolume(path, f"{error.what}: {error.because}") from error


def _read(path: Path, file: BinaryIO) -> Volume:
    first = file.read(BLOCK)
    try:
        info = tarfile.TarInfo.frombuf(first, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError):
        raise BadVolume(path, "it does not begin as a volume does") from None
    if info.size > LIMIT or first != member_header(info.name, info.size, 0o644):
        raise BadVolume(path, f"it begins with {described(first)}, not with a volume's list")
    raw = file.read(info.size)
    header = Header.parse(raw, f"volume {path}")
    if header.encode() != raw or info.name != header.path:
        raise BadVolume(path, f"its list is not written as volumes write it, or lies under {info.name[:100]!r}")
    length = os.fstat(file.fileno()).st_size
    if length != header.bytes:
        raise BadVolume(path, f"it has {length} bytes, should have {header.bytes}")
    at = room(len(raw))
    offsets: dict[str, int] = {}
    for piece in header.pieces:
        _compare(path, file, at, member_header(piece.path, piece.size, piece.mode), piece.path)
        offsets[piece.path] = at + BLOCK
        at += room(piece.size)
    size = len(encode_end({part.path: part.digest for part in header.parts}))
    _compare(path, file, at, member_header(header.end_path, size, 0o644), header.end_path)
    end = file.read(size)
    file.seek(length - len(END))
    if file.read(len(END)) != END:
        raise BadVolume(path, "its end is not zeros")
    return Volume(path, header, offsets, _ends(path, header, end))


def _ends(path: Path, header: Header, raw: bytes) -> dict[str, Digest]:
    ends = decode_end(raw, f"the end of volume {path}")
    if ends.keys() != {part.path for part in header.parts}:
        raise BadVolume(path, "its end speaks of other parts than its list")
    return ends


def _compare(path: Path, file: BinaryIO, at: int, expected: bytes, name: str) -> None:
    file.seek(at)
    block = file.read(BLOCK)
    if block != expected:
        raise BadVolume(path, f"in the place of {name} it has {described(block)}")


def unpacked_volumes(directory: Path) -> list[Volume]:
    """The volumes that `tar -xf` unpacked into a directory, by the lists that they left. Raises BadVolume."""
    found = []
    for path in sorted(directory.glob("volumes/*/????.json")):
        try:
            with _opened(path) as file:
                header = Header.parse(file.read(LIMIT + 1), str(path))
            end = path.with_name(f"{header.number}.end.json")
            with _opened(end) as file:
                ends = _ends(directory, header, file.read(LIMIT + 1))
        except OSError as error:
            raise BadVolume(path, f"it can't be read: {error.strerror}") from error
        found.append(Volume(directory, header, {}, ends, unpacked=True))
    return found


def is_volume_name(path: Path) -> bool:
    """Whether a file in a directory of volumes is to be read as one."""
    return path.suffix == ".tar" and not path.name.startswith(".")
