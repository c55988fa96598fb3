"""Which process is meant: a pid alone is reused, a pid with its start time and boot is not."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may itself hold blanks (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@dataclass(frozen=True)
class ProcessMark:
    """A process that can't be mistaken for a later one with its number."""

    pid: int
    start: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessMark | None:
        """The mark of a live process; None when there is none (a zombie counts as none)."""
        try:
            fields = _stat(pid)
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]), _boot())

    @classmethod
    def read(cls, path: Path) -> ProcessMark | None:
        """The mark in a pid file; None when there is no usable one."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the pid file, whole or not at all."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)) + "\n")
        temporary.replace(path)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessMark.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Signal this very process, or nothing."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.alive():
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)

    def wait(self, seconds: float) -> bool:
        """Wait until the process is gone; True when it is."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():
                return True
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(descriptor)

    def end(self, patience: float) -> None:
        """SIGTERM, then SIGKILL after `patience` seconds."""
        self.signal(signal.SIGTERM)
        if not self.wait(patience):
            self.signal(signal.SIGKILL)
            self.wait(10)

    def descendants(self) -> list[ProcessMark]:
        """Its children and theirs, as they are now."""
        children: dict[int, list[int]] = {}
        for pid in every_pid():
            try:
                children.setdefault(int(_stat(pid)[1]), []).append(pid)
            except OSError:
                continue
        found: list[ProcessMark] = []
        pending = list(children.get(self.pid, ()))
        while pending:
            pid = pending.pop()
            pending.extend(children.get(pid, ()))
            mark = ProcessMark.of(pid)
            if mark is not None:
                found.append(mark)
        return found


def every_pid() -> Iterator[int]:
    """The numbers of all processes."""
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
