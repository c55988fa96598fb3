"""What urllib3 raises, in our words: which failures may pass by themselves, and what mends the others."""

from __future__ import annotations

import errno
import re
import socket
import ssl

from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)

from bundler.core.errors import NetworkFailed
from bundler.core.size import format_duration
from bundler.sources.retry import Transient

_PLAIN = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL calls an answer that is not TLS."""
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})[\w ]*")
_BUSY_TUNNEL = ("502", "503", "504")
_PASSING = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT})


class TlsFailed(NetworkFailed):
    """No TLS connection. `plain` where the other side does not speak TLS at all."""

    def __init__(self, host: str, reason: str, *, plain: bool, hint: str | None) -> None:
        super().__init__(f"no TLS connection to {host}", because=reason, hint=hint)
        self.plain = plain


def explained_failure(error: Exception, host: str, patience: float) -> NetworkFailed:
    """The error for a request to `host` that failed; Transient where it may pass by itself."""
    host, cause = _behind_redirects(error, host), _cause(error)
    if isinstance(cause, (SSLError, ssl.SSLError)):
        return _tls(cause, host)
    if isinstance(cause, ProxyError):
        return _proxy(cause, host)
    if isinstance(cause, NameResolutionError):
        return _unresolved(cause, host)
    system = _system_error(cause)
    if isinstance(cause, NewConnectionError) and not (system and system.errno in _PASSING):
        return NetworkFailed(
            f"no connection to {host}",
            because=_words(system) if system else "the connection failed",
            hint=f"curl -v {host}   # is the address right, does the server run, does a proxy have to be set?",
        )
    if isinstance(cause, ConnectTimeoutError):  # NewConnectionError is one by inheritance
        return Transient(f"{host} does not answer", because="the connection was not accepted in time")
    if isinstance(cause, (ReadTimeoutError, TimeoutError)):
        return Transient(f"{host} fell silent", because=f"nothing came for {format_duration(patience)}")
    if isinstance(cause, ProtocolError) or (system and system.errno in _PASSING):
        return Transient(f"{host} broke off", because=_words(system) if system else "the connection was closed early")
    if isinstance(cause, ResponseError):
        return NetworkFailed(f"{host} redirects in circles", because="it sent too many redirects")
    return NetworkFailed(f"no connection to {host}", because=_words(cause))


def _behind_redirects(error: Exception, host: str) -> str:
    """The host that failed: the one that was asked, or one that it redirected to."""
    pool = error.pool if isinstance(error, MaxRetryError) else None
    if not isinstance(pool, HTTPConnectionPool):
        return host
    name = f"[{pool.host}]" if ":" in pool.host else pool.host
    return name if pool.port in (None, 80, 443) else f"{name}:{pool.port}"


def _cause(error: Exception) -> Exception:
    """The reason that urllib3 gives for having given up."""
    while isinstance(error, MaxRetryError) and error.reason is not None:
        error = error.reason
    return error


def _proxy(error: ProxyError, host: str) -> NetworkFailed:
    """A proxy that can't be reached, or that refuses a tunnel (http.client: Tunnel connection failed: STATUS)."""
    tunnel = _TUNNEL.search(str(error.original_error))
    system = _system_error(error)
    timed_out = isinstance(error.original_error, (ConnectTimeoutError, ReadTimeoutError, TimeoutError))
    if (tunnel and tunnel[1] in _BUSY_TUNNEL) or (timed_out and system is None):
        return Transient(f"{host} can't be reached through the proxy", because=tunnel[0] if tunnel else "it is silent")
    return NetworkFailed(
        f"{host} can't be reached through the proxy",
        because=tunnel[0] if tunnel else _words(system or error.original_error),
        hint="env | grep -i _proxy   # mend it, or list the host in NO_PROXY",
    )


def _tls(error: Exception, host: str) -> NetworkFailed:
    text = str(error)
    if any(mark in text.upper().replace(" ", "_") for mark in _PLAIN):
        return TlsFailed(host, "it does not speak TLS", plain=True, hint=None)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return TlsFailed(
            host,
            f"its certificate is not trusted: {reason or 'verification failed'}",
            plain=False,
            hint="export SSL_CERT_FILE=/path/to/ca.pem   # the certificate authority of your registry, hub or proxy",
        )
    return Transient(f"{host} broke off", because="the TLS connection failed")


def _unresolved(error: NameResolutionError, host: str) -> NetworkFailed:
    system = _system_error(error)
    if system and system.errno == socket.EAI_AGAIN:
        return Transient(f"{host} can't be found", because="the name server does not answer")
    return NetworkFailed(
        f"{host} can't be found",
        because="there is no such name in the DNS",
        hint=f"getent hosts {host.partition(':')[0]}   # check the name, and /etc/resolv.conf; or set HTTPS_PROXY",
    )


def _system_error(error: BaseException | None) -> OSError | None:
    """The operating system's error below this one."""
    seen = 0
    while error is not None and seen < 8:
        if isinstance(error, OSError) and not isinstance(error, HTTPError) and error.errno is not None:
            return error
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        error, seen = error.__cause__ or inner or error.__context__, seen + 1
    return None


def _words(error: BaseException) -> str:
    """A reason without addresses and signatures."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
