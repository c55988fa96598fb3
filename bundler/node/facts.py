"""Facts: what was read of a node, once, before anything is judged. What can't be read says so and why."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundler.engine.docker import DockerEngine, EngineInfo


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as NVML sees it. Memory is bytes; capability is `8.9`."""

    index: int
    name: str
    uuid: str
    capability: str
    memory_total: int
    memory_free: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A node. `free` has the bytes that may be written below the store and below the engine's directory.

    `unreadable` maps what could not be read to the reason, for the checks that need it.
    """

    host: str
    kernel: str
    cores: int
    memory_available: int
    driver: str = ""
    gpus: tuple[Gpu, ...] = ()
    engine: EngineInfo | None = None
    store: str = ""
    free: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


def read_facts(engine: DockerEngine, store: Path) -> Facts:
    """Read this node, on which a store lies. Raises NoEngine, EngineFailed."""
    driver, gpus, problem = read_gpus()
    described = engine.info()
    return Facts(
        host=platform.node(),
        kernel=platform.release(),
        cores=os.cpu_count() or 1,
        memory_available=_memory_available(Path("/proc/meminfo").read_text()),
        driver=driver,
        gpus=gpus,
        engine=described,
        store=str(store),
        free={str(path): free for path in (store, Path(described.root)) if (free := _free(path)) is not None},
        unreadable={"gpus": problem} if problem else {},
    )


def _memory_available(meminfo: str) -> int:
    """Bytes of MemAvailable (proc(5), meminfo), which counts in kB."""
    lines = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    return int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024


def _free(path: Path) -> int | None:
    """Bytes; None where this user may not look."""
    try:
        while not path.exists():
            path = path.parent
        status = os.statvfs(path)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def read_gpus() -> tuple[str, tuple[Gpu, ...], str]:
    """Driver version, GPUs, and why they can't be read (no driver is the usual reason on a CPU machine)."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return "", (), f"NVML: {error}"
    try:
        gpus = tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        return _text(pynvml.nvmlSystemGetDriverVersion()), gpus, ""
    except pynvml.NVMLError as error:
        return "", (), f"NVML: {error}"
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index,
        _text(nvml.nvmlDeviceGetName(handle)),
        _text(nvml.nvmlDeviceGetUUID(handle)),
        f"{major}.{minor}",
        int(memory.total),
        int(memory.free),
    )


def _text(value: str | bytes) -> str:
    """NVML's Python binding gave bytes before its release 12."""
    return value.decode() if isinstance(value, bytes) else value
