"""The hub in this process, for tests that want to see its requests and spoil its answers."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from scripts.world.hub.access import Access
from scripts.world.hub.faults import Faults
from scripts.world.hub.handler import HubHandler
from scripts.world.hub.reply import Desk, Reply
from scripts.world.ports import LOOPBACK


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


Served = TypeVar("Served", bound="Hub")


class Hub:
    """Serves a directory of ORG/NAME (models) and datasets/ORG/NAME from a thread."""

    handler: type[Reply] = HubHandler

    def __init__(self, directory: Path, port: int = 0, *, access: Access | None = None) -> None:
        self._desk = Desk.over(directory, access)
        handler = type("Handler", (self.handler,), {"desk": self._desk})
        self._server = _Server((LOOPBACK, port), handler)
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT says to reach it."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    @property
    def faults(self) -> Faults:
        return self._desk.faults

    @property
    def access(self) -> Access:
        return self._desk.access

    def commit(self, repo: str, kind: str = "models") -> str:
        """The id of the repository's only commit."""
        snapshot = self._desk.shelf.snapshot(kind, repo)
        if snapshot is None:
            raise KeyError(repo)
        return snapshot.commit

    def serve(self) -> None:
        """Serve from this thread until it is stopped."""
        self._server.serve_forever()

    def start(self: Served) -> Served:
        """Serve from a thread of its own."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Let go of stalled answers and close the port."""
        self._desk.closing.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self: Served) -> Served:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
