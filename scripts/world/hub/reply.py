"""How the hub answers: JSON, nothing, an error with the hub's headers, or the bytes of a file."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

from scripts.world.hub.access import Access, Refusal
from scripts.world.hub.content import Span, Unsatisfiable, reach, spoiled
from scripts.world.hub.faults import NO_FAULT, Fault, Faults, Seen
from scripts.world.hub.snapshot import HubFile, Shelf


@dataclass
class Desk:
    """What all requests of one hub share. `unstated`: globs of files whose SHA-256 a listing leaves out."""

    shelf: Shelf
    access: Access
    faults: Faults = field(default_factory=Faults)
    closing: Event = field(default_factory=Event)
    unstated: list[str] = field(default_factory=list)
    states_commit: bool = True

    @classmethod
    def over(cls, directory: Path, access: Access | None = None) -> Desk:
        return cls(Shelf(directory), access or Access())


class Reply(BaseHTTPRequestHandler):
    """Subclassed with `desk` set, since http.server makes the instances."""

    desk: Desk
    protocol_version = "HTTP/1.1"
    server_version = "bundle-world-hub"
    asked_file = ""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
        """Every answer comes past here: keep the request instead of printing it."""
        self.desk.faults.note(
            Seen(
                self.command,
                self.path,
                self.asked_file,
                self.headers["Range"],
                self.headers["Authorization"],
                int(code),
                self.headers["Cookie"],
            )
        )

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def json(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.head(status, len(content), {**(headers or {}), "Content-Type": "application/json; charset=utf-8"})
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, refusal: Refusal) -> None:
        headers = {"X-Error-Message": refusal.message}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        self.json({"error": refusal.message}, refusal.status, headers)

    def file(self, file: HubFile, headers: Mapping[str, str], *, ranges: bool = True) -> None:
        """Send a file, or as much of it as the next fault lets through; without `ranges` all of it, always."""
        fault = self.desk.faults.next(file.path) if self.command == "GET" else NO_FAULT
        if fault.status is not None:
            return self.head(fault.status, 0, fault.headers)
        try:
            span = Span.asked(None if fault.ignore_range or not ranges else self.headers["Range"], file.size)
        except Unsatisfiable:
            return self.head(416, 0, {"Content-Range": f"bytes */{file.size}"})
        told = {**headers, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        told["Content-Type"] = "application/octet-stream"
        if span.partial:
            told["Content-Range"] = span.content_range(file.size)
        self.head(206 if span.partial else 200, span.end - span.first, told)
        if self.command == "HEAD":
            return None
        self._body(file, span, fault)
        if fault.reset_after is not None:
            self._reset()
        if fault.stall_after is not None:
            self.desk.closing.wait()
        if any(at is not None for at in (fault.stall_after, fault.cut_after, fault.reset_after)):
            self.close_connection = True
        return None

    def _body(self, file: HubFile, span: Span, fault: Fault) -> None:
        length = reach(span, fault)
        if fault.corrupt:
            for chunk in spoiled(file, span, length):
                self.wfile.write(chunk)
        elif length:  # by the kernel, so that a measurement next to it has the cores
            with file.source.open("rb") as source:
                self.connection.sendfile(source, span.first, length)

    def _reset(self) -> None:
        """End the connection with a TCP reset: what socket(7) calls a hard close."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
