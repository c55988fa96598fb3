"""HTTP for all sources: proxies and certificates from the environment, honest timeouts, errors in our words.

No URL goes into an error: after a redirect it may carry a signature. Hosts and reasons do.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from bundler import __version__
from bundler.core.errors import NetworkFailed
from bundler.core.strict_json import LIMIT
from bundler.sources.http_errors import explained_failure
from bundler.sources.proxies import Proxies
from bundler.sources.retry import Transient
from bundler.sources.source import CHUNK
from bundler.sources.tls import context as tls_context

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
USER_AGENT = f"bundler/{__version__}"
REDIRECTS = 5
CONNECTIONS = 32
"""To one host, that are kept open for the next request."""
DETAIL = 64 << 10
"""Bytes of an error's body that are read."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds without an answer to a connection, and without a byte on it. A whole transfer has no limit."""

    connect: float = 15.0
    read: float = 60.0


class Refused(NetworkFailed):
    """An answer that is neither good nor transient: from which host, which, and the beginning of its body."""

    def __init__(self, host: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"{host} answers with HTTP status {status}")
        self.host = host
        self.status = status
        self.headers = headers
        self.body = body


class NoRanges(NetworkFailed):
    """A server that was asked for a part and does not give just that."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} sends no parts of files")


@dataclass(frozen=True, slots=True)
class Answer:
    """A small body, read whole."""

    headers: Mapping[str, str]
    body: bytes


class Http:
    """A pool of connections, for all threads. Follows redirects, and sends Authorization to the first host only."""

    def __init__(self, *, timeouts: Timeouts | None = None, proxies: Proxies | None = None) -> None:
        self.timeouts = timeouts or Timeouts()
        self._proxies = proxies or Proxies.from_environment()
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(self, url: str, headers: Mapping[str, str] | None = None, *, limit: int = LIMIT) -> Answer:
        """A small body. Raises Refused, Transient, NetworkFailed; also where it is longer than `limit` bytes."""
        return self._small("GET", url, headers, None, limit)

    def post(self, url: str, form: bytes, headers: Mapping[str, str] | None = None, *, limit: int = LIMIT) -> Answer:
        """The answer to a form (`application/x-www-form-urlencoded`). Raises as `get`."""
        typed = {**(headers or {}), "Content-Type": "application/x-www-form-urlencoded"}
        return self._small("POST", url, typed, form, limit)

    def open(self, url: str, headers: Mapping[str, str] | None = None, *, offset: int = 0) -> HttpStream:
        """A body from `offset` on, or from 0 where the server can't. Raises Refused, Transient, NetworkFailed."""
        if offset:
            ranged = {**(headers or {}), "Range": f"bytes={offset}-"}
            try:
                response = self._send("GET", url, ranged, None)
            except Refused as refusal:
                if refusal.status != 416:
                    raise
            else:
                if response.status != 206:
                    return HttpStream(response, 0, _answering(response, url), self.timeouts.read)
                if range_start(response.headers.get("Content-Range", "")) == offset:
                    return HttpStream(response, offset, _answering(response, url), self.timeouts.read)
                response.close()  # another range than the one asked for: ask for the whole
        response = self._send("GET", url, headers, None)
        return HttpStream(response, 0, _answering(response, url), self.timeouts.read)

    def open_part(self, url: str, headers: Mapping[str, str] | None, offset: int, end: int) -> HttpStream:
        """The bytes from `offset` up to, not with, `end`. Raises NoRanges, Refused, Transient, NetworkFailed."""
        ranged = {**(headers or {}), "Range": f"bytes={offset}-{end - 1}"}
        try:
            response = self._send("GET", url, ranged, None)
        except Refused as refusal:
            if refusal.status == 416:
                raise NoRanges(refusal.host) from refusal
            raise
        host = _answering(response, url)
        if response.status != 206 or not _covers(response.headers.get("Content-Range", ""), offset, end):
            response.close()
            raise NoRanges(host)
        return HttpStream(response, offset, host, self.timeouts.read)

    def length(self, url: str, headers: Mapping[str, str] | None = None) -> int:
        """A body's length in bytes. Raises Refused, Transient, NetworkFailed; also where the server does not say it.

        By a GET of the first byte, as signed URLs are often signed for GET alone.
        """
        try:
            response = self._send("GET", url, {**(headers or {}), "Range": "bytes=0-0"}, None)
        except Refused as refusal:
            if refusal.status == 416 and refusal.headers.get("Content-Range", "").endswith("/0"):
                return 0
            raise
        response.close()  # unread: a server without ranges sends all of it
        partial = response.status == 206
        text = response.headers.get("Content-Range" if partial else "Content-Length", "").rpartition("/")[2].strip()
        if not (text.isascii() and text.isdigit()):
            raise NetworkFailed(
                f"{_answering(response, url)} does not say how long the file is",
                because="its answer has no length",
                hint="take the file from another server",
            )
        return int(text)

    def _small(
        self, method: str, url: str, headers: Mapping[str, str] | None, form: bytes | None, limit: int
    ) -> Answer:
        response = self._send(method, url, headers, form)
        try:
            body = response.read(limit + 1, decode_content=False)
        except (HTTPError, OSError) as error:
            raise explained_failure(error, _host(url), self.timeouts.read) from error
        finally:
            response.close()  # one that was read to its end is back in the pool already
        if len(body) > limit:
            raise NetworkFailed(f"{_host(url)} answers with too much", because=f"more than {limit} bytes came")
        return Answer(response.headers, body)

    def _send(self, method: str, url: str, headers: Mapping[str, str] | None, form: bytes | None) -> BaseHTTPResponse:
        host = _host(url)
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        try:
            response = self._pool(url).urlopen(
                method,
                url,
                headers=sent,
                body=form,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=self.timeouts.connect, read=self.timeouts.read),
                retries=Retry(
                    connect=0, read=0, other=0, status=0, redirect=REDIRECTS, total=None, raise_on_status=False
                ),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise explained_failure(error, host, self.timeouts.read) from error
        if response.status < 400:
            return response
        body, host = _drain(response), _answering(response, url)
        if response.status in TRANSIENT_STATUSES:
            raise busy(host, response.status, response.headers)
        raise Refused(host, response.status, response.headers, body)

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxies.proxy_for(url)
        key = proxy.url if proxy else None
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._proxies.pool(proxy, maxsize=CONNECTIONS, ssl_context=tls_context())
            return self._pools[key]


class HttpStream:
    """The body of an answer."""

    def __init__(self, response: BaseHTTPResponse, offset: int, host: str, patience: float) -> None:
        self.offset = offset
        self._response = response
        self._host = host
        self._patience = patience

    def __iter__(self) -> Iterator[bytes]:
        try:
            # read1 gives what has arrived, so that a slow line shows progress and loses nothing when it breaks
            while chunk := self._response.read1(CHUNK, decode_content=False):
                yield chunk
        except (HTTPError, OSError) as error:
            raise explained_failure(error, self._host, self._patience) from error

    def close(self) -> None:
        """Close the connection, unless the body was read to its end and it went back to the pool."""
        self._response.close()

    def abort(self) -> None:
        """Shut the connection for reading, which wakes a thread that waits in it."""
        with suppress(RuntimeError, ValueError, OSError):  # it ended by itself meanwhile
            self._response.shutdown()


def _drain(response: BaseHTTPResponse) -> bytes:
    """The beginning of an error's body; an error that breaks off is an error all the same."""
    try:
        return response.read(DETAIL, decode_content=False)
    except (HTTPError, OSError):
        return b""
    finally:
        response.close()


def busy(host: str, status: int, headers: Mapping[str, str]) -> Transient:
    """The error for one of TRANSIENT_STATUSES."""
    too_many = status == 429
    return Transient(
        f"{host} can't answer now",
        because=f"it answers with HTTP status {status}{', too many requests' if too_many else ''}",
        hint="log in (docker login, hf auth login, modelscope login), as unknown clients are allowed less; or wait"
        if too_many
        else None,
        retry_after=retry_after(headers.get("Retry-After", "")),
    )


def range_start(content_range: str) -> int | None:
    """The first byte's position in `bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4); None where it is not that."""
    unit, _, span = content_range.partition(" ")
    first = span.partition("-")[0].strip()
    return int(first) if unit.lower() == "bytes" and first.isascii() and first.isdigit() else None


def _covers(content_range: str, offset: int, end: int) -> bool:
    """Whether a Content-Range is the one asked for."""
    last = content_range.partition("-")[2].partition("/")[0].strip()
    return range_start(content_range) == offset and last == str(end - 1)


def retry_after(value: str) -> float | None:
    """Seconds of a Retry-After: a number or a date (RFC 9110, section 10.2.3); None where it is neither."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError):
        return None


def _answering(response: BaseHTTPResponse, url: str) -> str:
    """The host that answered, behind the redirects: it is the one that a firewall has to let through."""
    for step in response.retries.history if response.retries else ():
        url = urljoin(url, step.redirect_location or "")
    return _host(url)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
