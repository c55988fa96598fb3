"""An `ssh` made of paramiko: one login in a process of its own, so that each connection has a core and its own GIL.

stdin, stdout and stderr lead to what runs on the host, and the exit status is its own, or FAILED. Nothing but this
process and what it imports needs paramiko.
"""

from __future__ import annotations

import json
import logging
import os
import select
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from bundler.core.errors import BundlerError
from bundler.transport import known_hosts
from bundler.transport.paramiko_request import FAILED, Failure, Request
from bundler.transport.wire import HANDED

if TYPE_CHECKING:
    from paramiko.channel import Channel

_OVERHEAD = 64  # of a packet that carries a channel's data, as paramiko counts it
_READ = 1 << 16


def main() -> None:
    """Serve the request that lies in the pipe which HANDED names, and end the process."""
    logging.disable()  # stderr is the host's
    handed = int(os.environ.pop(HANDED))
    with os.fdopen(handed, "rb") as pipe:
        request = Request.decode(pipe.read())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        status = _serve(request)
    except Exception as error:  # noqa: BLE001 # a traceback would hold no more, and might hold a secret
        _say(2, _told(error).encode(request.token).encode())
        status = FAILED
    os._exit(status)  # paramiko's threads are waited for otherwise


def _told(error: Exception) -> Failure:
    failure = getattr(error, "failure", None)
    if isinstance(failure, Failure):
        return failure
    if isinstance(error, ImportError):
        return Failure("no-paramiko", str(error))
    if isinstance(error, BundlerError):
        return Failure("configuration", f"{error.what}: {error.because}")
    return Failure("lost", f"{type(error).__name__}: {error}")


def _serve(request: Request) -> int:
    from bundler.transport.paramiko_config import hop
    from bundler.transport.paramiko_link import connect

    wanted = hop(request)
    if request.run == "known":
        name = known_hosts.listed_as(wanted.hostname, wanted.port, wanted.alias)
        lines = known_hosts.lines_for(name, wanted.known_hosts)
        _say(1, json.dumps([line.fingerprint for line in lines if not line.marker]).encode())
        return 0
    transport = connect(wanted, request)
    channel = transport.open_session(timeout=20)
    if request.run == "subsystem":
        channel.invoke_subsystem(request.words)
    else:
        channel.exec_command(request.words)
    sending = threading.Thread(target=_send, args=(channel,), daemon=True)
    complaints = threading.Thread(target=_receive, args=(channel.recv_stderr, 2), daemon=True)
    for thread in (sending, complaints):
        thread.start()
    _receive(channel.recv, 1)
    complaints.join()
    channel.status_event.wait()
    if channel.exit_status >= 0:
        return int(channel.exit_status)
    why = transport.get_exception()
    if why or not transport.is_active():
        _say(2, Failure("lost", str(why or "the host closed the connection")).encode(request.token).encode())
    return FAILED


def _send(channel: Channel) -> None:
    """stdin to the host, then its end. Whole packets: a copy less for each."""
    size = channel.out_max_packet_size - _OVERHEAD
    try:
        while data := os.read(0, size):
            while data:
                sent = channel.send(data)
                data = data[sent:] if sent < len(data) else b""
        channel.shutdown_write()
    except OSError:
        pass  # the host ended: its last words are on the way to the other threads


def _receive(take: Callable[[int], bytes], to: int) -> None:
    while data := take(_READ):
        _say(to, data)


def _say(to: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(to, view) :]


def _end_with_parent() -> None:
    """End when no one holds the other end of stdout. (A death signal would come with the thread that started us.)"""
    poll = select.poll()
    poll.register(1, 0)
    while not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll()):
        pass
    os._exit(FAILED)
