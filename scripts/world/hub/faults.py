"""What can go wrong on the way from a hub, on purpose."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Seen:
    """A request and the status it got. `file` is the path in the repository, where one was asked for."""

    method: str
    path: str
    file: str
    range: str | None
    authorization: str | None
    status: int
    cookie: str | None = None


@dataclass
class Fault:
    """Spoils the next `times` contents (GET) whose file matches `file`, a glob; -1 means always. A file of "" is
    ModelScope's listing.

    `cut_after`: the connection closes after so many bytes of the body. `stall_after`: nothing more
    comes after so many bytes, until the hub stops. `reset_after`: a TCP reset there. `corrupt`: the right length,
    one bit wrong. `ignore_range`: the whole file with status 200. `status`: this error instead of a body.
    """

    file: str = "*"
    times: int = 1
    cut_after: int | None = None
    reset_after: int | None = None
    stall_after: int | None = None
    corrupt: bool = False
    ignore_range: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


NO_FAULT = Fault(times=-1)


class Faults:
    """The faults that wait to happen, and the requests that came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._seen: list[Seen] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """Forget faults and requests."""
        with self._lock:
            self._waiting.clear()
            self._seen.clear()

    def note(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    @property
    def seen(self) -> list[Seen]:
        """The requests so far, in order."""
        with self._lock:
            return list(self._seen)

    def count(self, method: str = "GET", file: str = "*") -> int:
        """How many contents were sent, whole or in part; redirects and errors don't count."""
        return sum(
            one.method == method and one.status in (200, 206) and one.file != "" and fnmatchcase(one.file, file)
            for one in self.seen
        )

    def next(self, file: str) -> Fault:
        """The fault that strikes this file now; it is used up by that."""
        with self._lock:
            for fault in self._waiting:
                if fault.times and fnmatchcase(file, fault.file):
                    fault.times -= fault.times > 0
                    return fault
        return NO_FAULT
