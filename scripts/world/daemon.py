"""A daemon of ours: started detached, ready only when it answers, stopped by its own mark."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.world.errors import WorldError, find_program, last_line
from scripts.world.mark import ProcessMark

_PROBE_EVERY = 0.03
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Daemon:
    """`tied` daemons get SIGTERM from the kernel when the process that started them dies."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] | None = None
    tied: bool = False

    @property
    def pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def mark(self) -> ProcessMark | None:
        """The running process, or None; a pid file left by a reboot or a crash counts as none."""
        mark = ProcessMark.read(self.pid_file)
        return mark if mark is not None and mark.alive() else None

    def running(self) -> bool:
        return self.mark() is not None

    def start(self, ready: Callable[[], bool], timeout: float = 30) -> bool:
        """Start unless running, and return once it answers; False when it ran already."""
        mark = self.mark()
        fresh = mark is None
        if mark is None:
            mark = self._spawn()
        deadline = time.monotonic() + timeout
        while not ready():
            if mark.wait(_PROBE_EVERY):
                self.pid_file.unlink(missing_ok=True)
                raise WorldError(f"{self.name} ended at once: {last_line(self.log)}", f"see {self.log}")
            if time.monotonic() > deadline:
                if fresh:
                    self.stop()
                raise WorldError(f"{self.name} did not answer in {timeout:.0f} s", f"see {self.log}")
        return fresh

    def stop(self, patience: float = 10) -> bool:
        """End the daemon and what it has started; False when it did not run."""
        mark = self.mark()
        if mark is not None:
            offspring = mark.descendants()
            mark.end(patience)
            for child in offspring:
                if child.alive():
                    child.end(2)
            if mark.alive():
                raise WorldError(f"{self.name} (pid {mark.pid}) does not end", f"kill -9 {mark.pid}")
            child_process = _children.pop(mark.pid, None)
            if child_process is not None:
                child_process.wait()
        self.pid_file.unlink(missing_ok=True)
        return mark is not None

    def _spawn(self) -> ProcessMark:
        self.directory.mkdir(parents=True, exist_ok=True)
        prefix = (find_program("setpriv", "util-linux"), "--pdeathsig", "TERM") if self.tied else ()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                (*prefix, *self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.environment is None else dict(self.environment),
                start_new_session=True,
            )
        _children[process.pid] = process
        mark = ProcessMark.of(process.pid)
        if mark is None:
            raise WorldError(f"{self.name} ended at once: {last_line(self.log)}", f"see {self.log}")
        mark.write(self.pid_file)
        return mark
