"""A long way: a proxy on the loopback that passes every byte on a while later, however many are under way."""

from __future__ import annotations

import queue
import socket
import threading
import time

_CHUNK = 1 << 16


class Delay:
    """Forwards TCP to a port of this machine, `seconds` later in each direction. `port` is where it listens."""

    def __init__(self, target: int, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Delay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                threading.Thread(target=self._read, args=(source, late), daemon=True).start()
                threading.Thread(target=self._write, args=(late, target), daemon=True).start()

    def _read(self, source: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            late.put((time.monotonic() + self._seconds, data))

    def _write(self, late: queue.SimpleQueue[tuple[float, bytes]], target: socket.socket) -> None:
        while True:
            due, data = late.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return
