"""Medians of commands that take turns, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """A command to time; `before` makes room for it each time, untimed."""

    name: str
    command: Sequence[str]
    before: Callable[[], object] = lambda: None


def medians(
    contenders: Sequence[Contender], rounds: int, environment: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Seconds of each, the median of so many rounds. Raises CalledProcessError where one fails."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            contender.before()
            began = time.perf_counter()
            subprocess.run(
                contender.command,
                env={**os.environ, **(environment or {})},
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            taken[contender.name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


@dataclass(frozen=True)
class Peaks:
    """The most that a command held: bytes of memory (VmHWM), bytes on the disk below a directory."""

    memory: int
    disk: int


def peaks(command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> Peaks:
    """Run a command and watch it. Raises CalledProcessError where it fails.

    Not by getrusage: its ru_maxrss begins with what this process held when it forked.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    memory = disk = 0
    while process.poll() is None:
        memory = max(memory, _high_water(process.pid))
        disk = max(disk, _on_disk(directory))
        time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Peaks(memory, max(disk, _on_disk(directory)))


def _high_water(pid: int) -> int:
    """VmHWM of proc(5), in bytes; 0 once the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _on_disk(directory: Path) -> int:
    total = 0
    with suppress(FileNotFoundError):  # a directory that went meanwhile
        for path in directory.rglob("*"):
            with suppress(FileNotFoundError):  # renamed meanwhile
                total += path.stat().st_blocks * 512
    return total


@dataclass(frozen=True)
class Figure:
    """A line of the report: what, how much, against what, and the goal."""

    what: str
    value: str
    goal: str
    reached: bool
