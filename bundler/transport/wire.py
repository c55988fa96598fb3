"""A process (ssh, or what stands in its place) with a host behind its pipes. Nothing waits on it for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bundler.core.size import format_duration
from bundler.transport.limit import Limit

STALL_SECONDS = 120.0
"""Without a byte either way for so long, a connection is given up."""

SLOWEST = 10_000_000
"""Bytes a second at least that a host hashes and syncs, which it does in silence."""

HANDED = "BUNDLE_HANDED_FD"
"""The environment variable that tells a client from which file descriptor to read what it is handed."""

_PIPE_BYTES = 1 << 20  # the most that an unprivileged process may ask for (pipe(7), pipe-max-size)
_F_SETPIPE_SZ = 1031  # fcntl(2); Linux
_HANDED_BYTES = 1 << 15  # a new pipe takes so many without a reader (pipe(7))
_PAUSE = 0.0005
_CHUNK = 1 << 20
_READ = 1 << 16
_KEPT = 8 << 10  # bytes of stderr, and of a profile's chatter
_TICK = 0.25
_LAST_WORDS_SECONDS = 5.0
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Launch:
    """A command whose stdin and stdout lead to a host.

    `handed` (32 KiB at most) goes to it through a pipe of its own: a password is in no command line, environment or
    file.
    """

    argv: tuple[str, ...]
    handed: bytes = field(default=b"", repr=False)


class WireBroken(Exception):
    """The connection ended or stood still. `said` is what was on stderr, `status` the client's exit status.

    `greeted` says whether the far end had spoken our language by then.
    """

    def __init__(self, said: str, status: int, *, greeted: bool) -> None:
        super().__init__(said)
        self.said = said
        self.status = status
        self.greeted = greeted


class Cancelled(Exception):
    """This stream is to stop where it is: another one failed, or the user interrupted."""


class SourceEnded(Exception):
    """A file that is being sent is shorter than it was."""


class Wire:
    """A running client. Used by one thread.

    What comes from the host gathers in `received`. `backlog` is the bytes that have been sent and not been answered
    for: the far end may be silent over them. Whoever knows the far end's language sets `greeted` once it was heard.
    `limit` holds for what is sent of files.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        stall: float,
        cancelled: threading.Event | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._process = _start(launch)
        self._pipes = [
            pipe for pipe in (self._process.stdin, self._process.stdout, self._process.stderr) if pipe is not None
        ]
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes)
        for pipe in (self._in, self._out, self._err):
            os.set_blocking(pipe, False)
        # The pipe has room as soon as ssh has read 32 KiB of it. To fill that at once is a switch between the two for
        # each packet; a pause lets a good part of it run empty.
        self._pause = _PAUSE if _enlarged(self._in) else 0.0
        self._open = {self._out, self._err}
        self._said = bytearray()
        self._stall = stall
        self._limit = limit
        self._moved = time.monotonic()
        self.cancelled = cancelled or threading.Event()
        self.received = bytearray()
        self.backlog = 0
        self.greeted = False

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes. Raises WireBroken, Cancelled."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._in, view) :]
                self._moved = time.monotonic()
            except BlockingIOError:
                self._wait(writing=True)
            except BrokenPipeError:
                raise self.broken() from None

    def send_file(self, file: int, offset: int, count: int, moved: Callable[[int], None]) -> None:
        """Send a part of an open file; `moved` hears of each piece's bytes.

        The kernel moves pages from its cache to the pipe (sendfile(2)), none through this process.
        Raises WireBroken, Cancelled, SourceEnded.
        """
        end = offset + count
        while offset < end:
            granted = self._granted(min(end - offset, _CHUNK))
            try:
                sent = _transfer(self._in, file, offset, granted)
            except BlockingIOError:
                self._give_back(granted)
                self._wait(writing=True)
                time.sleep(self._pause)
                continue
            except BrokenPipeError:
                raise self.broken() from None
            if not sent:
                raise SourceEnded
            self._moved = time.monotonic()
            self._give_back(granted - sent)
            offset += sent
            moved(sent)

    def more(self) -> None:
        """Wait until more has been `received`. Raises WireBroken, Cancelled."""
        before = len(self.received)
        while len(self.received) == before:
            if self._out not in self._open:
                raise self.broken()
            self._wait()

    def read(self, count: int) -> bytes:
        """The next bytes from the host; waits for them. Raises WireBroken, Cancelled."""
        while len(self.received) < count:
            self.more()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def note(self, words: bytes) -> None:
        """Keep what was said besides our language, for whoever asks why the connection broke."""
        self._said += words
        del self._said[:-_KEPT]

    def close(self) -> None:
        """End the connection: the far end is told that nothing more comes, and may finish what it does."""
        self._pipes[0].close()
        self._last_words()
        self.abandon()

    def abandon(self) -> None:
        """End the connection at once."""
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()
        self._open.clear()

    def broken(self, why: str = "") -> WireBroken:
        """What to raise when it can't go on. What had been `received` before the end is still there."""
        self._pipes[0].close()
        self._last_words()
        self._process.kill()
        status = self._process.wait()
        said = self._said.decode(errors="replace").strip()
        return WireBroken("\n".join(filter(None, (said, why))), status, greeted=self.greeted)

    def _granted(self, wanted: int) -> int:
        """How much of it may be sent now; waits until some may, and hears the far end meanwhile."""
        while self._limit:
            granted, pause = self._limit.grant(wanted)
            if granted:
                return granted
            if self.cancelled.is_set():
                raise Cancelled
            # an answer that comes does not make the time come sooner
            until = time.monotonic() + pause
            while (left := until - time.monotonic()) > 0 and not self.cancelled.is_set():
                if self._out in self._open:
                    self._poll(min(left, _TICK))
                else:
                    raise self.broken()
            self._moved = time.monotonic()  # it was we who stood still
        return wanted

    def _give_back(self, count: int) -> None:
        if self._limit:
            self._limit.give_back(count)

    def _wait(self, *, writing: bool = False) -> None:
        """Until something can be done; what comes meanwhile is kept."""
        while True:
            if self.cancelled.is_set():
                raise Cancelled
            if self._poll(_TICK, writing=writing):
                break
            silence = time.monotonic() - self._moved
            if silence > self._stall + self.backlog / SLOWEST:
                self._process.kill()
                raise self.broken(f"nothing moved for {format_duration(silence)}")
        self._moved = time.monotonic()

    def _poll(self, seconds: float, *, writing: bool = False) -> bool:
        """Read what is there. Returns whether there was anything, or room to write."""
        poll = select.poll()
        for pipe in self._open:
            poll.register(pipe, select.POLLIN)
        if writing:
            poll.register(self._in, select.POLLOUT)
        ready = poll.poll(seconds * 1000)
        for pipe, _ in ready:
            if pipe != self._in:
                self._read(pipe)
        return bool(ready)

    def _read(self, pipe: int) -> None:
        data = os.read(pipe, _READ)
        if not data:
            self._open.discard(pipe)
        elif pipe == self._out:
            self.received += data
        else:
            self.note(data)

    def _last_words(self) -> None:
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self._open and (left := deadline - time.monotonic()) > 0:
            self._poll(left)


def _start(launch: Launch) -> subprocess.Popen[bytes]:
    handed = _handed(launch.handed) if launch.handed else -1
    try:
        return subprocess.Popen(
            launch.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us; and no terminal to ask on
            pass_fds=(handed,) if launch.handed else (),
            env={**os.environ, HANDED: str(handed)} if launch.handed else None,
        )
    finally:
        if launch.handed:
            os.close(handed)


def _handed(data: bytes) -> int:
    """The reading end of a pipe that holds these bytes and ends behind them."""
    if len(data) > _HANDED_BYTES:
        raise ValueError("a pipe without a reader does not take so much")
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
    finally:
        os.close(writing)
    return reading


def _enlarged(pipe: int) -> bool:
    try:
        return fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES) >= _PIPE_BYTES
    except OSError:  # not Linux, or this user's pipes hold too much already: only slower
        return False


def _transfer(pipe: int, file: int, offset: int, count: int) -> int:
    try:
        return os.sendfile(pipe, file, offset, count)
    except OSError as error:
        if error.errno not in _NO_SENDFILE:
            raise
    return os.write(pipe, os.pread(file, min(count, _READ), offset))
