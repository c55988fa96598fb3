"""Who holds something: a process on a machine since its boot, recognisable as alive or dead later."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode(errors="replace").strip()  # a process may be named anything
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when there is none (proc(5), stat field 22)."""
    return (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() or [""] * 20)[19]


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: host, machine id, boot id, pid and its start time (a pid alone comes back after a reboot).

    `namespace` names the pids among which its pid counts (pid_namespaces(7)); empty where it is not known, as in files
    of earlier versions.
    """

    host: str
    machine: str
    boot: str
    pid: int
    start: str
    since: float = 0.0
    namespace: str = ""

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return _myself(os.getpid())

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Owner:
        """Read what `to_json` wrote; missing members are empty, so that a strange owner counts as unknown."""
        host, machine, boot, start, namespace = (
            str(document.get(key, "")) for key in ("host", "machine", "boot", "start", "namespace")
        )
        pid, since = document.get("pid"), document.get("since")
        if not isinstance(pid, int) or not isinstance(since, (int, float, type(None))):
            return cls("", "", "", 0, "")
        return cls(host, machine, boot, pid, start, float(since or 0.0), namespace)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    @property
    def dead(self) -> bool:
        """Whether this process is certainly gone. One of another machine or pid namespace is never certain."""
        mine = Owner.me()
        if (self.machine, self.host) != (mine.machine, mine.host):  # cloned disks share a machine id
            return False
        if self.boot != mine.boot:
            return True
        if self.namespace and mine.namespace and self.namespace != mine.namespace:  # a container's pids are its own
            return False
        return not _runs(self.pid, self.start)

    @property
    def key(self) -> str:
        """A short name for file names: machine, boot, pid, start."""
        machine = re.sub(r"[^A-Za-z0-9_]", "_", self.machine[:8])  # a host name, where there is no machine id
        return f"{machine}-{self.boot[:8]}-{self.pid}-{self.start}"

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since)) if self.since else "an unknown time"
        return f"process {self.pid} on {self.host or 'an unknown host'} since {when}"


def _runs(pid: int, start: str) -> bool:
    """Whether a process runs that began then. Where /proc hides other users' processes, its pid has to do."""
    seen = process_start(pid)
    if seen:
        return seen == start
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


@cache
def _myself(pid: int) -> Owner:
    machine = _read("/etc/machine-id") or socket.gethostname()
    boot = _read("/proc/sys/kernel/random/boot_id")
    return Owner(socket.gethostname(), machine, boot, pid, process_start(pid), time.time(), _pid_namespace())


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
