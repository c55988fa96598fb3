"""A conversation with the far end's program: requests and bytes go out, answers come back, a line each."""

from __future__ import annotations

import threading

from bundler.core.strict_json import LIMIT
from bundler.transport.far_end import HELLO
from bundler.transport.limit import Limit
from bundler.transport.wire import Launch, Wire


class Session(Wire):
    """A client with the far end's program (remote.sh) running behind it. `key` is the far end's name as an owner."""

    def __init__(
        self,
        launch: Launch,
        program: bytes,
        *,
        stall: float,
        cancelled: threading.Event | None = None,
        limit: Limit | None = None,
    ) -> None:
        super().__init__(launch, stall=stall, cancelled=cancelled, limit=limit)
        self.key = ""
        try:
            self._greet(program)
        except BaseException:
            self.abandon()
            raise

    def _greet(self, program: bytes) -> None:
        self.send(program)
        chatter = 0
        while not self.greeted:
            line = self.answer()
            if line.startswith(HELLO):
                self.key = line.removeprefix(HELLO).strip()
                self.greeted = True
            else:
                self.note(f"{line}\n".encode())
            chatter += len(line)
            if chatter > LIMIT:
                raise self.broken("the login prints without end")

    def request(self, *words: str | int) -> None:
        """Send a request line. Raises WireBroken, Cancelled."""
        self.send((" ".join(map(str, words)) + "\n").encode())

    def answer(self) -> str:
        """The next answer; waits for it. Raises WireBroken, Cancelled."""
        while (line := self.heard()) is None:
            if len(self.received) > LIMIT:
                raise self.broken()
            self.more()
        return line

    def heard(self) -> str | None:
        """The next answer that is here already."""
        end = self.received.find(b"\n")
        if end < 0:
            return None
        line = self.received[:end].decode(errors="replace")
        del self.received[: end + 1]
        return line
