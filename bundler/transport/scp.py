"""The scp protocol over a client's pipes: one file after the other, each line answered by a byte (OpenSSH, scp.c)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

from bundler.transport.wire import Wire

OK, WARNING, FATAL = b"\0", b"\1", b"\2"
_LINE = 8 << 10
_CHUNK = 1 << 16
_FILE = re.compile(r"C([0-7]{4}) (\d{1,19}) ([^/]+)")


class ScpError(Exception):
    """What the scp of the other side refused, in its own words."""


class NotScp(Exception):
    """Something came that is no line of the protocol."""


def sink(directory: str, *, recursive: bool = False) -> str:
    """The command of a host that takes files into a directory. With their modes, also of files that are there;
    not of directories, whose modes are the user's."""
    return shlex.join(("scp", "-r" if recursive else "-p", "-t", "--", directory))


def source(path: str, *, recursive: bool = False) -> str:
    """The command of a host that gives a file, or a directory's files."""
    return shlex.join(("scp", *(("-r",) if recursive else ()), "-f", "--", path))


class Sink:
    """The sending end: a `sink` runs on the host. All methods raise ScpError, NotScp, WireBroken, Cancelled."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._answered()
        wire.greeted = True

    def enter(self, name: str) -> None:
        """Make a directory, unless it is there, and go into it."""
        self._line(f"D0755 0 {name}")

    def leave(self) -> None:
        """Go back to the directory above."""
        self._line("E")

    def put(self, name: str, data: bytes, mode: int) -> None:
        """Write a small file."""
        self.begin(name, len(data), mode)
        self._wire.send(data)
        self.end()

    def begin(self, name: str, size: int, mode: int) -> None:
        """Announce a file: its bytes follow once this has returned. Before that, they would be read as lines."""
        self._line(f"C{mode:04o} {size} {name}")

    def send_file(self, file: int, offset: int, count: int, moved: Callable[[int], None]) -> None:
        """Send a part of a local file. Raises SourceEnded."""
        self._wire.send_file(file, offset, count, moved)

    def end(self) -> None:
        """All bytes of the file have been sent."""
        self._wire.send(OK)
        self._answered()

    def _line(self, line: str) -> None:
        self._wire.send(f"{line}\n".encode("utf-8", "surrogateescape"))
        self._answered()

    def _answered(self) -> None:
        answer = self._wire.read(1)
        if answer == OK:
            return
        said = _line(self._wire)
        if answer not in (WARNING, FATAL):
            self._wire.note(answer + said.encode() + b"\n")
            raise NotScp(said)
        raise ScpError(said)


def sizes(wire: Wire) -> dict[str, int]:
    """The lengths of a directory's files, from a recursive `source`: each is announced, and refused.

    Raises as Sink's methods.
    """
    found: dict[str, int] = {}
    wire.send(OK)
    depth = 0
    while True:
        line = _announced(wire)
        if line.startswith("D"):
            depth += 1
        elif line == "E":
            depth -= 1
        elif match := _FILE.fullmatch(line):
            if depth == 1:
                found[match[3]] = int(match[2])
            wire.send(WARNING + b"no\n")
            continue
        else:
            raise NotScp(line)
        wire.send(OK)
        if depth <= 0:
            return found


def content(wire: Wire, longest: int | None = None) -> Iterator[bytes]:
    """A file's bytes, from a `source` of it. Raises as Sink's methods."""
    wire.send(OK)
    match = _FILE.fullmatch(_announced(wire))
    if not match:
        raise NotScp("no file")
    left = int(match[2])
    if longest is not None and left > longest:
        raise ScpError(f"{match[3]} has {left} bytes: too long to be what it should be")
    wire.send(OK)
    while left:
        data = wire.read(min(left, _CHUNK))
        left -= len(data)
        yield data
    if wire.read(1) != OK:
        raise ScpError(_line(wire))
    wire.send(OK)


def _announced(wire: Wire) -> str:
    line = _line(wire)
    wire.greeted = True
    if line[:1].encode() in (WARNING, FATAL):
        raise ScpError(line[1:])
    return line


def _line(wire: Wire) -> str:
    while (end := wire.received.find(b"\n")) < 0:
        if len(wire.received) > _LINE:
            raise NotScp("a line without end")
        wire.more()
    line = wire.received[:end].decode("utf-8", "surrogateescape")
    del wire.received[: end + 1]
    return line
