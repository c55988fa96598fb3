"""TCP ports on the loopback: free ones, and who holds a taken one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from scripts.world.errors import WorldError
from scripts.world.mark import every_pid
from scripts.world.place import Place

LOOPBACK = "127.0.0.1"
_LISTENING = "0A"  # linux/include/net/tcp_states.h: TCP_LISTEN


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port(place: Place, name: str) -> int:
    """The port that `name` had last time if it is still free, else another, remembered."""
    kept = place.remembered(f"{name}_port")
    if kept is not None and is_free(kept):
        return kept
    port = free_port()
    place.remember(f"{name}_port", port)
    return port


def claim(port: int, name: str, variable: str = "") -> None:
    """Refuse a taken port, naming the holder where the kernel lets us see it."""
    if not is_free(port):
        hint = f"stop it, or choose another port with {variable}" if variable else "stop it"
        raise WorldError(f"port {port} for the {name} is taken by {holder(port)}", hint)


def holder(port: int) -> str:
    """`name (pid N)` of the process that listens on the port."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in every_pid():
        try:
            links = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            if wanted & links:
                return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
        except OSError:
            continue
    return "another process"


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
