"""A read-only registry on the loopback that serves a store, so that the engine takes images out of it by digest.

Every Docker Engine treats 127.0.0.0/8 as allowed without TLS, asks only for layers that it lacks, and checks
what it unpacks against the image's diff ids. Nothing is copied: blobs go from the store's files to the socket.
"""

from __future__ import annotations

import http.server
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from bundler.core.descriptor import Descriptor
from bundler.core.digest import Digest
from bundler.manifest.lock import LockedImage
from bundler.store.layout import Store

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs)/(?P<digest>sha256:[0-9a-f]{64})")
LOOPBACK = "127.0.0.1"
_PIECE = 8 << 20
Asked = Callable[[str, int], None]
"""Told of each answer, and of each piece of a blob that is sent: the digest's first letters, and how many bytes."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The containerd image store tries TLS first and falls back to plain HTTP only when the answer to its
    # hello begins with "HTTP/" (seen with Docker 28.5.2): this makes the answer to garbage an HTTP/1.0 error.
    default_request_version = "HTTP/1.0"
    store: ClassVar[Store]
    served: ClassVar[dict[Digest, Descriptor]]
    asked: ClassVar[Asked]

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        type(self).asked("", 0)
        if self.path.rstrip("/") == "/v2":
            return self._headers(200, 2, "application/json", send and b"{}")
        match = _PATH.fullmatch(self.path.partition("?")[0])
        blob = self.served.get(Digest.parse(match["digest"])) if match else None
        if blob is None or not self.store.has(blob):
            body = b'{"errors":[{"code":"BLOB_UNKNOWN"}]}'
            return self._headers(404, len(body), "application/json", send and body)
        self.send_response(200)
        self.send_header("Content-Type", blob.media_type)
        self.send_header("Content-Length", str(blob.size))
        self.send_header("Docker-Content-Digest", str(blob.digest))
        self.end_headers()
        if send:
            self._send_blob(blob)
        return None

    def _headers(self, status: int, length: int, media_type: str, body: bytes | bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self.wfile.write(bytes(body))

    def _send_blob(self, blob: Descriptor) -> None:
        with self.store.path(blob.digest).open("rb") as file:
            offset = 0
            while offset < blob.size:
                sent = os.sendfile(self.connection.fileno(), file.fileno(), offset, min(_PIECE, blob.size - offset))
                if not sent:  # the file became shorter under us; the engine notices the short body
                    self.close_connection = True
                    return
                offset += sent
                type(self).asked(blob.digest.short, sent)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: stderr belongs to the command line."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of an engine that hangs up: it does so whenever it has what it wants."""


@contextmanager
def serving(store: Store, images: tuple[LockedImage, ...], asked: Asked = lambda *_: None) -> Iterator[str]:
    """Serve these images of a store for the length of a block. Yields `127.0.0.1:PORT`.

    Only what the images consist of is served, under any repository name, by digest. `asked` is called from threads.
    """
    blobs = {blob.digest: blob for image in images for blob in (image.manifest, *image.blobs)}
    handler = type("Handler", (_Handler,), {"store": store, "served": blobs, "asked": staticmethod(asked)})
    server = _Server((LOOPBACK, 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
