"""The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02): what is sent, and what is believed of what comes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

LONGEST = 1 << 20
"""Bytes of a packet at most. OpenSSH's are 256 KiB at most (sftp-common.h)."""

MOST_NAMES = 100_000
"""Names in one answer at most."""


class Kind(IntEnum):
    """The types of packets that we send and hear."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    REALPATH = 16
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Code(IntEnum):
    """What a STATUS says."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


READ, WRITE, CREATE, TRUNCATE, EXCLUSIVE = 0x01, 0x02, 0x08, 0x10, 0x20
_SIZE, _IDS, _MODE, _TIMES, _EXTENDED = 0x01, 0x02, 0x04, 0x08, 0x80000000
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Malformed(Exception):
    """A packet that is not one of this protocol."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a server says of a file; None where it does not. `size` in bytes, `mode` as stat(2) has it, `changed` when
    its bytes last were, in seconds by the server's clock."""

    size: int | None = None
    mode: int | None = None
    changed: int | None = None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that has come, behind its length."""

    kind: int
    body: memoryview


def packet(kind: Kind, *parts: bytes, trailing: int = 0) -> bytes:
    """A packet of these parts; `trailing` bytes of it are sent by themselves behind it."""
    body = b"".join(parts)
    return _U32.pack(len(body) + 1 + trailing) + bytes((kind,)) + body


def u32(value: int) -> bytes:
    """A number of 32 bits."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """A number of 64 bits."""
    return _U64.pack(value)


def string(value: bytes | str) -> bytes:
    """A string, its length first. Text is sent as UTF-8."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return _U32.pack(len(raw)) + raw


def mode(value: int) -> bytes:
    """Attributes that set a mode alone."""
    return _U32.pack(_MODE) + _U32.pack(value)


NO_ATTRIBUTES = _U32.pack(0)


def split(received: bytearray) -> Packet | None:
    """Take the first packet out of what has been received; None while it is not whole. Raises Malformed."""
    if len(received) < 5:
        return None
    (length,) = _U32.unpack_from(received)
    if not 1 <= length <= LONGEST:
        raise Malformed(f"a packet of {length} bytes")
    if len(received) < 4 + length:
        return None
    found = Packet(received[4], memoryview(bytes(received[5 : 4 + length])))
    del received[: 4 + length]
    return found


class Reader:
    """Reads the parts of a packet in their order. Each method raises Malformed past its end."""

    def __init__(self, body: memoryview) -> None:
        self._body = body

    @property
    def empty(self) -> bool:
        """Whether all has been read."""
        return not self._body

    def u32(self) -> int:
        """A number of 32 bits."""
        return int(_U32.unpack(self._take(4))[0])

    def u64(self) -> int:
        """A number of 64 bits."""
        return int(_U64.unpack(self._take(8))[0])

    def string(self) -> bytes:
        """A string's bytes."""
        return bytes(self._take(self.u32()))

    def attributes(self) -> Attributes:
        """A file's attributes; those that we have no use for are passed over."""
        flags = self.u32()
        size = self.u64() if flags & _SIZE else None
        if flags & _IDS:
            self._take(8)
        found = self.u32() if flags & _MODE else None
        changed = None
        if flags & _TIMES:
            self._take(4)  # when it was last read
            changed = self.u32()
        if flags & _EXTENDED:
            count = self.u32()
            for _ in range(count):
                self.string()
                self.string()
        return Attributes(size, found, changed)

    def _take(self, count: int) -> memoryview:
        if count > len(self._body):
            raise Malformed("a packet that ends in its middle")
        taken, self._body = self._body[:count], self._body[count:]
        return taken


def names(body: Reader) -> tuple[tuple[bytes, Attributes], ...]:
    """The files that a NAME lists. Raises Malformed."""
    count = body.u32()
    if count > MOST_NAMES:
        raise Malformed(f"{count} names")
    found = []
    for _ in range(count):
        name = body.string()
        body.string()  # the same for people, as ls prints it
        found.append((name, body.attributes()))
    return tuple(found)
