"""From this machine to a login: sockets, jump hosts, proxy commands, and the host key, in the client's process."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paramiko.ssh_exception import ChannelException, IncompatiblePeer, SSHException
from paramiko.transport import Transport

from bundler.transport import known_hosts
from bundler.transport.openssh import ALIVE_SECONDS, CONNECT_SECONDS
from bundler.transport.paramiko_auth import log_in
from bundler.transport.paramiko_config import Hop
from bundler.transport.paramiko_failed import ClientFailed
from bundler.transport.paramiko_request import Failure, Request

WINDOW = 1 << 24
"""Bytes that a host may send before we have taken them."""

_FASTEST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr", "aes192-ctr")
"""Those of one pass first. OpenSSH offers no CBC by itself either (ssh_config(5), Ciphers)."""

_WITHOUT = {"macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1-96"]}
"""What OpenSSH does not offer by itself either (ssh_config(5), MACs)."""


def connect(hop: Hop, request: Request) -> Transport:
    """A transport that is logged in. Raises ClientFailed."""
    way: Transport | None = None
    for step in (*hop.before, replace(hop, before=())):
        way = _reached(step, _socket(step, way), request)
        log_in(way, step, request)
    assert way is not None
    return way


def _socket(hop: Hop, way: Transport | None) -> Any:
    try:
        if way:
            return way.open_channel("direct-tcpip", (hop.hostname, hop.port), ("127.0.0.1", 0), timeout=CONNECT_SECONDS)
        return _piped(hop.command) if hop.command else _dialled(hop)
    except socket.gaierror as error:
        raise _failed("no-name", hop, error.strerror or str(error)) from error
    except ConnectionRefusedError as error:
        raise _failed("refused", hop, "Connection refused") from error
    except (OSError, ChannelException, SSHException) as error:
        raise _failed("unreachable", hop, str(error) or type(error).__name__) from error


def _dialled(hop: Hop) -> socket.socket:
    made = socket.create_connection((hop.hostname, hop.port), timeout=CONNECT_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def _piped(command: str) -> socket.socket:
    """A socket whose other end is a ProxyCommand's stdin and stdout: it needs no thread and no copy of ours."""
    ours, theirs = socket.socketpair()
    with theirs:
        end = theirs.fileno()
        subprocess.Popen(("/bin/sh", "-c", f"exec {command}"), stdin=end, stdout=end, stderr=subprocess.DEVNULL)
    return ours


def _reached(hop: Hop, sock: Any, request: Request) -> Transport:
    """A transport with the host's key checked; nothing of ours has been told to the host by then."""
    transport = Transport(
        sock,
        default_window_size=WINDOW,
        disabled_algorithms=_WITHOUT,
    )
    transport.daemon = True
    transport.banner_timeout = transport.handshake_timeout = CONNECT_SECONDS
    name = known_hosts.listed_as(hop.hostname, hop.port, hop.alias)
    lines = known_hosts.lines_for(name, hop.known_hosts)
    options = transport.get_security_options()
    options.ciphers = tuple(name for name in _FASTEST if name in options.ciphers)
    options.key_types = _known_first(options.key_types, [line.kind for line in lines if not line.marker])
    try:
        transport.start_client(timeout=CONNECT_SECONDS)
    except IncompatiblePeer as error:
        raise _failed("nothing-in-common", hop, str(error)) from error
    except (SSHException, EOFError, OSError) as error:
        raise _failed("unreachable", hop, str(error) or "it closed the connection before it said hello") from error
    transport.set_keepalive(ALIVE_SECONDS)
    _check(transport, hop, name, lines, request)
    return transport


def _check(transport: Transport, hop: Hop, name: str, lines: Sequence[known_hosts.KnownKey], request: Request) -> None:
    key = transport.get_remote_server_key()
    kind, blob = key.get_name(), key.asbytes()
    verdict = known_hosts.judge(lines, kind, blob)
    if verdict.word == "unknown" and request.accept_new:
        line = known_hosts.entry(name, kind, blob, hashed=hop.hashes_names)
        known_hosts.append(hop.known_hosts[0], line)
    elif verdict.word != "known":
        shown = f"{kind.removeprefix('ssh-').upper()} {known_hosts.fingerprint(blob)}"
        transport.close()
        failed = _failed(f"{verdict.word}-key", hop, "")
        raise ClientFailed(replace(failed.failure, name=name, fingerprint=shown, file=verdict.file))


def _known_first(kinds: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The kinds of host keys to ask for, those first of which one is listed (sshconnect2.c, order_hostkeyalgs)."""
    listed = {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in known else set()
    return tuple(sorted(kinds, key=lambda kind: kind not in known and kind not in listed))


def _failed(word: str, hop: Hop, because: str) -> ClientFailed:
    return ClientFailed(Failure(word, because, hop.hostname, hop.port, hop.user))
