"""A way to a server that counts the bytes that come back, and lets only so many through until it is told to go on."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 1 << 15


class Metered:
    """Listens on the loopback and passes all on to a server there. A context manager."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._changed = threading.Condition()
        self._left: int | None = None
        self._round = 0
        self.passed = 0
        self.spent = threading.Event()
        """Set when a byte has to wait."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def grant(self, count: int | None) -> None:
        """From now on so many bytes; None for all. Connections of before are closed."""
        with self._changed:
            self._left = count
            self._round += 1
            self.spent.clear()
            self._changed.notify_all()

    def __enter__(self) -> Metered:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        self.grant(0)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHUNK)
                server = socket.create_connection(self._target)
                with self._changed:
                    mine = self._round
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, mine), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket, mine: int) -> None:
        with suppress(OSError), client, server:
            while data := server.recv(_CHUNK):
                while data:
                    allowed = self._take(len(data), mine)
                    if not allowed:
                        return
                    client.sendall(data[:allowed])
                    data = data[allowed:]

    def _take(self, wanted: int, mine: int) -> int:
        """How many bytes may pass now; waits for some. 0 when the connection is one of before."""
        with self._changed:
            while self._left == 0 and self._round == mine:
                self.spent.set()
                self._changed.wait()
            if self._round != mine:
                return 0
            allowed = wanted if self._left is None else min(wanted, self._left)
            if self._left is not None:
                self._left -= allowed
            self.passed += allowed
            return allowed
