"""The machine under the GPUs: /proc, /sys and what the system calls say."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from bundler.node.facts import Disk, Host

Value = TypeVar("Value")
_NVIDIA = "0x10de"
"""NVIDIA's PCI vendor id."""
_DISPLAY = "0x03"
"""The PCI class of VGA and 3D controllers, which is what a GPU is."""


def read_host() -> Host:
    """All of it; what can't be read is noted with the reason."""
    unreadable: dict[str, str] = {}

    def attempt(name: str, read: Callable[[], Value]) -> Value | None:
        try:
            return read()
        except (OSError, ValueError, LookupError) as error:
            unreadable[name] = f"{type(error).__name__}: {error}"
            return None

    memory = attempt("memory_total", lambda: meminfo(Path("/proc/meminfo").read_text())) or {}
    return Host(
        memory_total=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        cgroup_limit=attempt("cgroup_limit", _cgroup_limit),
        swap_total=memory.get("SwapTotal"),
        swap_free=memory.get("SwapFree"),
        huge_pages=memory.get("Hugetlb"),
        transparent_huge_pages=attempt("transparent_huge_pages", _transparent_huge_pages),
        numa_nodes=attempt("numa_nodes", lambda: len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))),
        numa_balancing=attempt("numa_balancing", _numa_balancing),
        shm=attempt("shm", lambda: _shm(os.statvfs("/dev/shm"))),
        memlock=attempt("memlock", lambda: resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]),
        selinux=attempt("selinux", _selinux),
        clock=round(time.time()),
        virtual=attempt("virtual", lambda: " hypervisor" in Path("/proc/cpuinfo").read_text()),
        device_links=attempt("device_links", _device_links),
        fabric_manager=attempt("fabric_manager", lambda: "nv-fabricmanage" in _programs()),
        nvidia_devices=attempt("nvidia_devices", _nvidia_devices),
        unreadable=unreadable,
    )


def meminfo(text: str) -> Mapping[str, int]:
    """Bytes by name (proc(5), meminfo): most count in kB, HugePages_* in pages."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number, *unit = value.split()
        found[name] = int(number) * (1024 if unit else 1)
    return found


def disk(path: Path) -> Disk:
    """The file system on which this path lies, or would. Raises OSError where this user may not look."""
    while not path.exists():
        path = path.parent
    status = os.statvfs(path)
    return Disk(
        total=status.f_blocks * status.f_frsize,
        free=status.f_bavail * status.f_frsize,
        inodes=status.f_files,
        inodes_free=status.f_favail,
        device=path.stat().st_dev,
    )


def _shm(status: os.statvfs_result) -> int:
    return status.f_blocks * status.f_frsize


def _cgroup_limit() -> int:
    """The smallest memory limit of the control groups that we are in, upward; -1 where there is none (cgroup v2)."""
    line = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "0::/")
    root = Path("/sys/fs/cgroup")
    place = root / line[3:].lstrip("/")
    limits = []
    while root in (place, *place.parents):
        limit = place / "memory.max"
        if limit.is_file() and (text := limit.read_text().strip()) != "max":
            limits.append(int(text))
        place = place.parent
    return min(limits, default=-1)


def _transparent_huge_pages() -> str:
    text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    return text[text.index("[") + 1 : text.index("]")]


def _numa_balancing() -> bool:
    path = Path("/proc/sys/kernel/numa_balancing")
    return path.exists() and path.read_text().strip() != "0"


def _selinux() -> str:
    path = Path("/sys/fs/selinux/enforce")
    return ("enforcing" if path.read_text().strip() == "1" else "permissive") if path.exists() else "off"


def _device_links() -> bool:
    """Whether systemd would find NVIDIA's devices when it reloads (nvidia-docker#1730)."""
    return any(os.readlink(link).startswith("../nvidia") for link in Path("/dev/char").iterdir() if link.is_symlink())


def _programs() -> set[str]:
    """The names of all processes, cut at 15 characters (proc(5), comm)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.add((entry / "comm").read_bytes().decode(errors="replace").strip())
            except OSError:  # it has ended
                continue
    return found


def _nvidia_devices() -> int:
    """GPUs of NVIDIA on the PCI bus, whether or not a driver has them."""
    count = 0
    for device in Path("/sys/bus/pci/devices").iterdir():
        is_display = (device / "class").read_text().startswith(_DISPLAY)
        count += is_display and (device / "vendor").read_text().strip() == _NVIDIA
    return count
