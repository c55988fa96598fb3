"""A web server that serves bytes well, except where a test tells it to fail."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. Positions are bytes of the body that is sent.

    `status`: this status with `headers` and `body`. `ignore_range`: 200 and all of it. `shift_range`: a 206 that
    begins elsewhere than asked. `cut`: an orderly end after so many bytes of a longer Content-Length. `reset`: a TCP
    reset there. `stall`: silence there. `short`: a body, and a Content-Length, of so many bytes. `flip`: one bit
    wrong. `silent`: the request is read and never answered.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    ignore_range: bool = False
    shift_range: int = 0
    cut: int | None = None
    reset: int | None = None
    stall: int | None = None
    short: int | None = None
    flip: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *about: object) -> None:
        """A client that goes away is what many tests are about."""


class ScriptedServer:
    """Serves `files` by path; `fail` queues faults for a path, each used once. A context manager."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.stalled = threading.Event()
        self._host = host
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"script": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.address}"

    def fail(self, path: str, *faults: Fault) -> None:
        with self._lock:
            self._faults[path].extend(faults)

    def fault(self, path: str) -> Fault:
        with self._lock:
            waiting = self._faults[path]
            return waiting.popleft() if waiting else Fault()

    def asked(self, path: str) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer

    def log_message(self, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        self.script.note(Request(self.command, self.path, dict(self.headers), body))
        fault = self.script.fault(path)
        try:
            if fault.silent:
                self._stall()
            elif fault.status:
                self._answer(fault.status, fault.headers, fault.body)
            elif path not in self.script.files:
                self._answer(404, {}, b"")
            else:
                self._serve(self.script.files[path], fault, self.script.types.get(path, "application/octet-stream"))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_POST = do_GET
    do_HEAD = do_GET

    def _serve(self, content: bytes, fault: Fault, content_type: str) -> None:
        asked = self.headers.get("Range")
        low, _, high = (asked or "").removeprefix("bytes=").partition("-")
        first, last = (
            (int(low), int(high or len(content) - 1)) if asked and not fault.ignore_range else (0, len(content))
        )
        headers = {"Content-Type": content_type}
        if asked and not fault.ignore_range:
            first += fault.shift_range
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        body = content[first : last + 1]
        if fault.short is not None:
            body = body[: fault.short]
        if fault.flip:
            body = body[:-1] + bytes((body[-1] ^ 1,))
        self._answer(206 if "Content-Range" in headers else 200, headers, body, fault)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None = None) -> None:
        fault = fault or Fault()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        limits = [limit for limit in (fault.cut, fault.reset, fault.stall) if limit is not None]
        self.wfile.write(body[: min(limits, default=len(body))])
        self.wfile.flush()
        if fault.stall is not None:
            self._stall()
        if fault.reset is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if limits:
            self.close_connection = True

    def _stall(self) -> None:
        self.script.stalled.set()
        self.script.closing.wait(60)
        self.close_connection = True
