"""Whether a TCP port can be bound, and who holds it if not."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp (include/net/tcp_states.h)."""


def bind_problem(address: str, port: int) -> str | None:
    """Why `address:port` can't be bound, naming the process that holds it where /proc tells; None if it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:  # a port below 1024, which the engine binds for a user who may not (ip(7))
            return (_holder(port) or "another process listens on it") if _listening(port) else None
        except OSError as error:
            holder = _holder(port)
            return f"{error.strerror}: {holder}" if holder else str(error.strerror)
    return None


def _holder(port: int) -> str | None:
    inodes = _listening(port)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # another user's process, or one that has just ended
            for handle in (entry / "fd").iterdir():
                if os.readlink(handle) in inodes:
                    called = (entry / "comm").read_bytes().decode(errors="replace").strip()  # cut at 15 bytes
                    return f"process {entry.name} ({called}) holds it"
    return None


def _listening(port: int) -> set[str]:
    """The sockets that listen on a port, as /proc/PID/fd shows them (proc(5): local address is hex, inode field 10)."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found
