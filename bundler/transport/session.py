"""One connection to the far end: requests and bytes go out, answers come back, and nothing waits for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable

from bundler.core.size import format_duration
from bundler.core.strict_json import LIMIT
from bundler.transport.far_end import HELLO

STALL_SECONDS = 120.0
"""Without a byte or an answer for so long, a connection is given up."""

SLOWEST = 10_000_000
"""Bytes a second at least that a host hashes and syncs, which it does in silence."""

_PIPE_BYTES = 1 << 20  # the most that an unprivileged process may ask for (pipe(7), pipe-max-size)
_F_SETPIPE_SZ = 1031  # fcntl(2); Linux
_PAUSE = 0.0005
_CHUNK = 1 << 20
_READ = 1 << 16
_KEPT = 8 << 10  # bytes of stderr, and of a profile's chatter
_TICK = 0.25
_LAST_WORDS_SECONDS = 5.0
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP})


class SessionBroken(Exception):
    """The connection ended or stood still. `said` is what was on stderr, `status` ssh's exit status."""

    def __init__(self, said: str, status: int, *, greeted: bool) -> None:
        super().__init__(said)
        self.said = said
        self.status = status
        self.greeted = greeted


class Cancelled(Exception):
    """This stream is to stop where it is: another one failed, or the user interrupted."""


class SourceEnded(Exception):
    """A file that is being sent is shorter than it was."""


class Session:
    """A process (ssh) with the far end behind it. Used by one thread; `key` is the far end's name as an owner.

    `backlog` is the bytes that have been sent and not been answered for: the far end may be silent over them.
    """

    def __init__(
        self, argv: tuple[str, ...], program: bytes, *, stall: float, cancelled: threading.Event | None = None
    ) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us; and no terminal to ask on
        )
        self._pipes = [pipe for pipe in (self._process.stdin, self._process.stdout, self._process.stderr) if pipe]
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes)
        for pipe in (self._in, self._out, self._err):
            os.set_blocking(pipe, False)
        # The pipe has room as soon as ssh has read 32 KiB of it. To fill that at once is a switch between the two for
        # each packet; a pause lets a good part of it run empty.
        self._pause = _PAUSE if _enlarged(self._in) else 0.0
        self._open = {self._out, self._err}
        self._answers = bytearray()
        self._said = bytearray()
        self._stall = stall
        self.cancelled = cancelled or threading.Event()
        self._moved = time.monotonic()
        self.backlog = 0
        self.key = ""
        try:
            self._greet(program)
        except BaseException:
            self.abandon()
            raise

    def _greet(self, program: bytes) -> None:
        self._send(program)
        chatter = 0
        while not self.key:
            line = self.answer()
            if line.startswith(HELLO):
                self.key = line.removeprefix(HELLO).strip()
            else:
                self._note(f"{line}\n".encode())
            chatter += len(line)
            if chatter > LIMIT:
                raise self._broken("the login prints without end")

    def request(self, *words: str | int) -> None:
        """Send a request line. Raises SessionBroken, Cancelled."""
        self._send((" ".join(map(str, words)) + "\n").encode())

    def send(self, data: bytes) -> None:
        """Send bytes that a request announced. Raises SessionBroken, Cancelled."""
        self._send(data)

    def send_file(self, file: int, offset: int, count: int, moved: Callable[[int], None]) -> None:
        """Send a part of an open file; `moved` hears of each piece's bytes.

        The kernel moves pages from its cache to the pipe (sendfile(2)), none through this process.
        Raises SessionBroken, Cancelled, SourceEnded.
        """
        end = offset + count
        while offset < end:
            try:
                sent = _transfer(self._in, file, offset, min(end - offset, _CHUNK))
            except BlockingIOError:
                self._wait(writing=True)
                time.sleep(self._pause)
                continue
            except BrokenPipeError:
                raise self._broken() from None
            if not sent:
                raise SourceEnded
            self._moved = time.monotonic()
            offset += sent
            moved(sent)

    def answer(self) -> str:
        """The next answer; waits for it. Raises SessionBroken, Cancelled."""
        while (line := self.heard()) is None:
            if self._out not in self._open or len(self._answers) > LIMIT:
                raise self._broken()
            self._wait()
        return line

    def heard(self) -> str | None:
        """The next answer that is here already."""
        end = self._answers.find(b"\n")
        if end < 0:
            return None
        line = self._answers[:end].decode(errors="replace")
        del self._answers[: end + 1]
        return line

    def read(self, count: int) -> bytes:
        """Bytes that an answer announced. Raises SessionBroken, Cancelled."""
        while len(self._answers) < count:
            if self._out not in self._open:
                raise self._broken()
            self._wait()
        data = bytes(self._answers[:count])
        del self._answers[:count]
        return data

    def close(self) -> None:
        """End the session: the far end is told that nothing more comes, and may finish what it does."""
        self._pipes[0].close()
        self._last_words()
        self.abandon()

    def abandon(self) -> None:
        """End the session at once."""
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()
        self._open.clear()

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._in, view) :]
                self._moved = time.monotonic()
            except BlockingIOError:
                self._wait(writing=True)
            except BrokenPipeError:
                raise self._broken() from None

    def _wait(self, *, writing: bool = False) -> None:
        """Until something can be done; answers that come meanwhile are kept."""
        while True:
            if self.cancelled.is_set():
                raise Cancelled
            if self._poll(_TICK, writing=writing):
                break
            silence = time.monotonic() - self._moved
            if silence > self._stall + self.backlog / SLOWEST:
                self._process.kill()
                raise self._broken(f"nothing moved for {format_duration(silence)}")
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
            self._answers += data
        else:
            self._note(data)

    def _note(self, data: bytes) -> None:
        self._said += data
        del self._said[:-_KEPT]

    def _last_words(self) -> None:
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while self._open and (left := deadline - time.monotonic()) > 0:
            self._poll(left)

    def _broken(self, why: str = "") -> SessionBroken:
        """What to raise. Answers that came before the end can still be `heard`."""
        self._pipes[0].close()
        self._last_words()
        self._process.kill()
        status = self._process.wait()
        said = self._said.decode(errors="replace").strip()
        return SessionBroken("\n".join(filter(None, (said, why))), status, greeted=bool(self.key))


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
