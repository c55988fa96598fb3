"""What outlives a killed engine: its shims and containers, their control groups, and mounts."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from scripts.world.mark import ProcessMark, every_pid

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_MNT_DETACH = 2  # linux/include/uapi/linux/fs.h


def end_processes(engine: str, exec_root: Path) -> None:
    """Kill the containers in the engine's control group, then its containerd and shims."""
    marks = [*_contained(engine), *_served(engine, exec_root)]
    for mark in marks:
        mark.signal(signal.SIGKILL)
    for mark in marks:
        mark.wait(10)


def end_family(programs: tuple[str, ...], directories: tuple[Path, ...]) -> None:
    """Kill the processes of these programs that name one of these directories, and all that they have started."""
    marks = []
    for pid in every_pid():
        words = _words(pid)
        if os.path.basename(words[0]) not in programs or not any(f"{d}/" in w for d in directories for w in words):
            continue
        if mark := ProcessMark.of(pid):
            marks += [mark, *mark.descendants()]
    for mark in marks:
        mark.signal(signal.SIGKILL)
    for mark in marks:
        mark.wait(10)


def unmount_below(directory: Path) -> None:
    """Detach every mount at or below a directory, the innermost first."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in reversed(mounts_below(directory)):
        libc.umount2(os.fsencode(point), _MNT_DETACH)


def mounts_below(directory: Path) -> list[str]:
    """The mount points at or below a directory, in the order they were mounted."""
    top = str(directory)
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # proc(5): the fifth field, with blanks written as octal escapes
        point = line.split()[4].encode().decode("unicode_escape")
        if point == top or point.startswith(top + "/"):
            points.append(point)
    return points


def remove_control_groups(engine: str) -> None:
    """Remove the engine's control group from every hierarchy, the innermost first."""
    for group in _groups(engine):
        for directory, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                continue  # still in use: harmless, and the next stop tries again


def _groups(engine: str) -> list[Path]:
    """The engine's control group in the unified hierarchy, or in each of the older ones."""
    places = (_CONTROL_GROUPS / engine, *_CONTROL_GROUPS.glob(f"*/{engine}"))
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def _contained(engine: str) -> Iterator[ProcessMark]:
    for group in _groups(engine):
        for listing in group.rglob("cgroup.procs"):
            try:
                pids = listing.read_text().split()
            except OSError:
                continue
            yield from filter(None, (ProcessMark.of(int(pid)) for pid in pids))


def _served(engine: str, exec_root: Path) -> Iterator[ProcessMark]:
    """containerd names its directory, a shim its namespace, on the command line."""
    for pid in every_pid():
        words = _words(pid)
        if not os.path.basename(words[0]).startswith("containerd"):
            continue
        ours = any(word.startswith(f"{exec_root}/") for word in words) or engine in words
        mark = ProcessMark.of(pid) if ours else None
        if mark is not None:
            yield mark


def _words(pid: int) -> list[str]:
    """A process's command line; one empty word where it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]
