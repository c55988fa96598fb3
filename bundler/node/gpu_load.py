"""What the GPUs do right now, by NVML; nothing where there is no driver, and then without importing anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"))
"""Files that are there once NVIDIA's driver is loaded."""


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """A GPU. Memory is bytes; `utilisation` is percent of the last sampling period, None where NVML has none (MIG)."""

    index: int
    name: str
    memory_used: int
    memory_total: int
    utilisation: int | None


def read_gpu_load() -> tuple[GpuLoad, ...]:
    """All GPUs; none where they can't be read: `bundle check` says why."""
    if not any(path.exists() for path in DRIVER):
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_load(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _load(nvml: Any, index: int) -> GpuLoad:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:
        utilisation = None
    return GpuLoad(
        index, name.decode() if isinstance(name, bytes) else name, int(memory.used), int(memory.total), utilisation
    )
