"""A conversation in SFTP version 3 over a client's pipes: many requests under way at once, answers in any order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from bundler.transport.limit import Limit
from bundler.transport.sftp_packets import (
    NO_ATTRIBUTES,
    READ,
    Attributes,
    Code,
    Kind,
    Malformed,
    Packet,
    Reader,
    mode,
    names,
    packet,
    split,
    string,
    u32,
    u64,
)
from bundler.transport.wire import Launch, Wire

VERSION = 3
WINDOW = 8 << 20
"""Bytes of writes under way at most: 40 MB/s over a round trip of 200 ms."""

_SAFE_WRITE = 32 << 10  # what every server takes (draft-ietf-secsh-filexfer-02, section 3)
_LONGEST_WRITE = 255 << 10  # OpenSSH's packets end at 256 KiB
_READS = 32

POSIX_RENAME, FSYNC, STATVFS, LIMITS = (
    f"{name}@openssh.com" for name in ("posix-rename", "fsync", "statvfs", "limits")
)


class SftpError(Exception):
    """A request that the server did not grant. `code` is a Code, or a number that is none."""

    def __init__(self, code: int, said: str, about: str) -> None:
        super().__init__(f"{about}: {said or f'status {code}'}")
        self.code = code
        self.said = said
        self.about = about


class Sftp(Wire):
    """A client with an SFTP server behind it. Used by one thread.

    Every method raises WireBroken, Cancelled, and Malformed where an answer is none of this protocol.

    `window` is the bytes of writes that may be under way.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        stall: float,
        cancelled: threading.Event | None = None,
        limit: Limit | None = None,
        window: int = WINDOW,
    ) -> None:
        super().__init__(launch, stall=stall, cancelled=cancelled, limit=limit)
        self.extensions: frozenset[str] = frozenset()
        self._window = window
        self._next = 0
        self._answers: dict[int, Packet] = {}
        self._writes: dict[int, tuple[int, str]] = {}
        self._write = _SAFE_WRITE
        try:
            self._greet()
        except BaseException:
            self.abandon()
            raise

    def _greet(self) -> None:
        self.send(packet(Kind.INIT, u32(VERSION)))
        hello = self._packet()
        if hello.kind != Kind.VERSION:
            raise self.broken("it speaks no SFTP")
        body = Reader(hello.body)
        try:
            body.u32()
            found = []
            while not body.empty:
                found.append(body.string().decode(errors="replace"))
                body.string()
        except Malformed as error:
            raise self.broken(f"it speaks no SFTP: {error}") from None
        self.extensions = frozenset(found)
        self.greeted = True
        if LIMITS in self.extensions:  # OpenSSH 8.5 and newer (PROTOCOL, section 4.8)
            reply = self._extended(LIMITS, b"", "limits")
            reply.u64()
            reply.u64()
            self._write = min(_LONGEST_WRITE, reply.u64() or _LONGEST_WRITE)

    def realpath(self, path: str) -> str:
        """A path made absolute. Raises SftpError."""
        ((name, _),) = self._named(self._ask(Kind.REALPATH, string(path)), path)
        return name.decode("utf-8", "surrogateescape")

    def stat(self, path: str) -> Attributes | None:
        """A file's attributes; None where there is none. Raises SftpError."""
        try:
            return Reader(self._hear(self._ask(Kind.STAT, string(path)), path, Kind.ATTRS)).attributes()
        except SftpError as error:
            if error.code == Code.NO_SUCH_FILE:
                return None
            raise

    def mkdir(self, path: str) -> None:
        """Make a directory, unless it is there. Raises SftpError."""
        try:
            self.done(self._ask(Kind.MKDIR, string(path), mode(0o755)), path)
        except SftpError:
            if self.stat(path) is None:  # version 3 has no code that says that it is there
                raise

    def listing(self, path: str) -> dict[str, Attributes]:
        """The files of a directory. Raises SftpError."""
        handle = self.handle(self._ask(Kind.OPENDIR, string(path)), path)
        found: dict[str, Attributes] = {}
        try:
            while True:
                for name, attributes in self._named(self._ask(Kind.READDIR, handle), path):
                    found[name.decode("utf-8", "surrogateescape")] = attributes
        except SftpError as error:
            if error.code != Code.EOF:
                raise
        self.done(self.close_handle(handle), path)
        return {name: attributes for name, attributes in found.items() if "/" not in name and name not in (".", "..")}

    def ask_open(self, path: str, flags: int) -> int:
        """Begin to open a file; `handle` hears what came of it."""
        return self._ask(Kind.OPEN, string(path), u32(flags), NO_ATTRIBUTES)

    def handle(self, asked: int, about: str) -> bytes:
        """The handle of a file that was asked to be opened, as packets want it. Raises SftpError."""
        return string(Reader(self._hear(asked, about, Kind.HANDLE)).string())

    def write(self, handle: bytes, file: int, offset: int, count: int, moved: Callable[[int], None]) -> None:
        """Send a part of a local file to the same place of the remote one. The answers are heard while others go.

        Raises SourceEnded, and SftpError of any write before.
        """
        end = offset + count
        while offset < end:
            size = min(self._write, end - offset)
            self._room(size)
            head = (self._take_number(size, "write"), handle, u64(offset), u32(size))
            self.send(packet(Kind.WRITE, *head, trailing=size))
            self.send_file(file, offset, size, moved)
            offset += size

    def put(self, path: str, data: bytes, flags: int) -> None:
        """Write a small file, and let go of it when it is on the disk. Raises SftpError."""
        handle = self.handle(self.ask_open(path, flags), path)
        for at in range(0, len(data), self._write):
            part = data[at : at + self._write]
            self._room(len(part))
            head = (self._take_number(len(part), path), handle, u64(at), string(part))
            self.send(packet(Kind.WRITE, *head))
        self.settle()
        self.sync(handle, path)
        self.done(self.close_handle(handle), path)

    def settle(self) -> None:
        """Wait for the answers to all writes. Raises SftpError."""
        self._room(self._window)

    def forget_writes(self) -> None:
        """Wait for the answers to all writes, whatever they say: one has failed already."""
        while self._writes:
            with suppress(SftpError):
                self.settle()

    def sync(self, handle: bytes, about: str) -> None:
        """Have a file on the disk, where the server can say so (PROTOCOL, section 4.7). Raises SftpError."""
        if FSYNC in self.extensions:
            self.done(self.ask_sync(handle), about)

    def ask_sync(self, handle: bytes) -> int:
        """Begin to have a file on the disk."""
        return self._ask(Kind.EXTENDED, string(FSYNC), handle)

    def ask_mode(self, handle: bytes, value: int) -> int:
        """Begin to set an open file's mode."""
        return self._ask(Kind.FSETSTAT, handle, mode(value))

    def close_handle(self, handle: bytes) -> int:
        """Begin to let go of a file."""
        return self._ask(Kind.CLOSE, handle)

    def ask_rename(self, old: str, new: str) -> int:
        """Begin to rename, in the place of what has the new name."""
        if POSIX_RENAME in self.extensions:
            return self._ask(Kind.EXTENDED, string(POSIX_RENAME), string(old), string(new))
        return self._ask(Kind.RENAME, string(old), string(new))

    def ask_rename_new(self, old: str, new: str) -> int:
        """Begin to rename, unless there is something of the new name (section 6.5 of the draft)."""
        return self._ask(Kind.RENAME, string(old), string(new))

    def remove(self, path: str) -> None:
        """Remove a file, if it is there. Raises SftpError."""
        try:
            self.done(self._ask(Kind.REMOVE, string(path)), path)
        except SftpError as error:
            if error.code != Code.NO_SUCH_FILE:
                raise

    def free(self, path: str) -> tuple[int | None, int | None]:
        """Bytes and inodes that are free to this login; None where the server can't say (PROTOCOL, section 4.4)."""
        if STATVFS not in self.extensions:
            return None, None
        try:
            body = self._extended(STATVFS, string(path), path)
        except SftpError:
            return None, None
        _, fragment, _, _, blocks, files, _, inodes, *_ = (body.u64() for _ in range(11))
        return blocks * fragment, inodes if files else None

    def content(self, path: str, longest: int | None = None) -> Iterator[bytes]:
        """A file's bytes, in their order. Raises SftpError."""
        handle = self.handle(self.ask_open(path, READ), path)
        position = asked = 0
        ahead: list[tuple[int, int, int]] = []  # number, offset, bytes
        ended = False
        while ahead or not ended:
            while not ended and len(ahead) < _READS and (longest is None or asked < longest):
                ahead.append((self._ask(Kind.READ, handle, u64(asked), u32(_SAFE_WRITE)), asked, _SAFE_WRITE))
                asked += _SAFE_WRITE
            if not ahead:
                break
            number, offset, count = ahead.pop(0)
            try:
                data = Reader(self._hear(number, path, Kind.DATA)).string()
            except SftpError as error:
                if error.code != Code.EOF:
                    raise
                ended = True
                continue
            if ended or offset != position:
                continue
            position += len(data)
            yield data
            if len(data) < count:  # a short answer is no end: what was asked for behind it is asked for again
                asked = position
                for stale, _, _ in ahead:
                    self._forget(stale, path)
                ahead.clear()
        self.done(self.close_handle(handle), path)

    def excerpt(self, path: str, offset: int, count: int) -> bytes:
        """A part of a file: fewer bytes where it ends. Raises SftpError."""
        handle = self.handle(self.ask_open(path, READ), path)
        data = b""
        parts = [(at, min(_SAFE_WRITE, offset + count - at)) for at in range(offset, offset + count, _SAFE_WRITE)]
        asked = [self._ask(Kind.READ, handle, u64(at), u32(size)) for at, size in parts]
        for number in asked:
            try:
                data += Reader(self._hear(number, path, Kind.DATA)).string()
            except SftpError as error:
                if error.code != Code.EOF:
                    raise
        self.done(self.close_handle(handle), path)
        return data

    def done(self, asked: int, about: str) -> None:
        """Wait until a request was granted. Raises SftpError."""
        self._hear(asked, about, None)

    def _forget(self, asked: int, about: str) -> None:
        with suppress(SftpError):
            self._hear(asked, about, Kind.DATA)

    def _extended(self, name: str, rest: bytes, about: str) -> Reader:
        return Reader(self._hear(self._ask(Kind.EXTENDED, string(name), rest), about, Kind.EXTENDED_REPLY))

    def _named(self, asked: int, about: str) -> tuple[tuple[bytes, Attributes], ...]:
        body = self._hear(asked, about, Kind.NAME)
        try:
            return names(Reader(body))
        except Malformed as error:
            raise self.broken(f"it speaks no SFTP: {error}") from None

    def _ask(self, kind: Kind, *parts: bytes) -> int:
        number = self._next
        self._next = (self._next + 1) & 0xFFFFFFFF
        self.send(packet(kind, u32(number), *parts))
        return number

    def _take_number(self, size: int, about: str) -> bytes:
        number = self._next
        self._next = (self._next + 1) & 0xFFFFFFFF
        self._writes[number] = size, about
        self.backlog += size
        return u32(number)

    def _room(self, size: int) -> None:
        """Hear answers until so many bytes may be under way besides those that are."""
        while True:
            self._take_in()
            if not self._writes or self.backlog + size <= self._window:
                return
            self.more()

    def _hear(self, asked: int, about: str, wanted: Kind | None) -> memoryview:
        """The answer to a request. Raises SftpError where it is a status other than OK."""
        while asked not in self._answers:
            if not self._take_in():
                self.more()
        found = self._answers.pop(asked)
        if found.kind == Kind.STATUS:
            code, said = self._status(found.body)
            if code != Code.OK or wanted is not None:
                raise SftpError(code, said, about)
        elif found.kind != wanted:
            raise self.broken(f"it answers {about} by a packet of type {found.kind}")
        return found.body

    def _take_in(self) -> bool:
        """Take what answers are here. Returns whether there was one. Raises SftpError of a write."""
        any_came = False
        while (found := self._split()) is not None:
            any_came = True
            body = Reader(found.body)
            try:
                number = body.u32()
            except Malformed as error:
                raise self.broken(f"it speaks no SFTP: {error}") from None
            rest = found.body[4:]
            if number in self._writes:
                size, about = self._writes.pop(number)
                self.backlog -= size
                code, said = self._status(rest) if found.kind == Kind.STATUS else (Code.BAD_MESSAGE, "no status")
                if code != Code.OK:
                    raise SftpError(code, said, about)
            else:
                self._answers[number] = Packet(found.kind, rest)
        return any_came

    def _packet(self) -> Packet:
        while (found := self._split()) is None:
            self.more()
        return found

    def _split(self) -> Packet | None:
        try:
            return split(self.received)
        except Malformed as error:
            self.note(bytes(self.received[:200]))  # a login's greeting, perhaps
            raise self.broken(f"it speaks no SFTP: {error}") from None

    def _status(self, body: memoryview) -> tuple[int, str]:
        reader = Reader(body)
        try:
            code = reader.u32()
            said = "" if reader.empty else reader.string().decode(errors="replace")
        except Malformed as error:
            raise self.broken(f"it speaks no SFTP: {error}") from None
        return code, said
