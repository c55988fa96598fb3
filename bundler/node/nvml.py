"""GPUs through NVML. Each value is asked for by itself: what one driver or card does not tell, others may."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bundler.node.facts import Fabric, Gpu, GpuProcess, Mig, Pcie, Peer, Remapped
from bundler.node.pci import DEVICES, read_bridges

Value = TypeVar("Value")

_RECOVERY = (
    "none",
    "GPU reset",
    "node reboot",
    "drain P2P",
    "drain and reset",
    "recover IMEX domain",
    "bus reset",
    "system reboot",
)
"""NVML_GPU_RECOVERY_ACTION_*, in order (nvml.h of driver 580, and nvidia-ml-py 13)."""
_PATHS = {0: "internal", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""NVML_TOPOLOGY_*, as `nvidia-smi topo -m` abbreviates them."""
_P2P = (
    "ok",
    "chipset not supported",
    "GPU not supported",
    "topology not supported",
    "disabled by regkey",
    "not supported",
)
"""NVML_P2P_STATUS_*, in order."""
_P2P_READ = 0
"""NVML_P2P_CAPS_INDEX_READ, which the Python binding has as a tuple that it then can't pass on."""
_FABRIC = ("not supported", "not started", "in progress", "completed")
"""NVML_GPU_FABRIC_STATE_*, in order."""
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MAX_LINKS = 18
"""NVLinks of the GPU that has most of them (H100 and B200)."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What NVML said, or in `problem` why it said nothing (no driver is the usual reason on a CPU machine)."""

    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""


def read_gpus() -> GpuReading:
    """Ask NVML for all that it tells."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return GpuReading(problem=f"NVML: {error}")
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        gpus = tuple(_Device(pynvml, handle, index).read() for index, handle in enumerate(handles))
        version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        return GpuReading(
            driver=_text(pynvml.nvmlSystemGetDriverVersion()),
            cuda=f"{version // 1000}.{version % 1000 // 10}",
            gpus=tuple(replace(gpu, peers=_peers(pynvml, handles, gpu.index)) for gpu in gpus),
        )
    except pynvml.NVMLError as error:
        return GpuReading(problem=f"NVML: {error}")
    finally:
        pynvml.nvmlShutdown()


class _Device:
    """One GPU while it is being read; what fails is noted under the fact's name."""

    def __init__(self, nvml: Any, handle: Any, index: int) -> None:
        self._nvml, self._handle, self._index = nvml, handle, index
        self._unreadable: dict[str, str] = {}

    def read(self) -> Gpu:
        """All of it. Raises NVMLError where not even name, memory and capability can be read."""
        nvml, handle = self._nvml, self._handle
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        bus_id = self._try("bus_id", lambda: _text(nvml.nvmlDeviceGetPciInfo(handle).busId).lower()) or ""
        links = self._try("links", self._links)
        return Gpu(
            index=self._index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
            capability=f"{major}.{minor}",
            memory_total=int(memory.total),
            memory_free=int(memory.free),
            bus_id=bus_id,
            processes=self._try("processes", self._processes) or (),
            ecc_uncorrected=self._try("ecc_uncorrected", self._ecc),
            sram_exceeded=self._try("sram_exceeded", self._sram),
            remapped=self._try("remapped", self._remapped),
            recovery=self._try("recovery", self._recovery),
            clock_reasons=self._try("clock_reasons", lambda: int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))),
            temperature=self._try("temperature", lambda: int(nvml.nvmlDeviceGetTemperature(handle, 0))),
            persistence=self._try("persistence", lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle))),
            mig=self._try("mig", self._mig),
            pcie=self._try("pcie", self._pcie),
            bridges=self._try("bridges", lambda: read_bridges(bus_id)) or (),
            links_up=links[0] if links else None,
            links=links[1] if links else None,
            fabric=self._try("fabric", self._fabric),
            numa=self._try("numa", lambda: _numa(bus_id)),
            unreadable=self._unreadable,
        )

    def _try(self, name: str, ask: Callable[[], Value]) -> Value | None:
        try:
            return ask()
        except (self._nvml.NVMLError, ctypes.ArgumentError, AttributeError, OSError, ValueError, LookupError) as error:
            self._unreadable[name] = f"{type(error).__name__ if not str(error) else error}"
            return None

    def _processes(self) -> tuple[GpuProcess, ...]:
        nvml, handle = self._nvml, self._handle
        found = (
            *nvml.nvmlDeviceGetComputeRunningProcesses(handle),
            *nvml.nvmlDeviceGetGraphicsRunningProcesses(handle),
        )
        by_pid = {int(process.pid): int(process.usedGpuMemory or 0) for process in found}
        return tuple(GpuProcess(pid, _comm(pid), memory, _container(pid)) for pid, memory in sorted(by_pid.items()))

    def _ecc(self) -> int:
        nvml = self._nvml
        kind, since = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        return int(nvml.nvmlDeviceGetTotalEccErrors(self._handle, kind, since))

    def _sram(self) -> bool:
        status = self._nvml.c_nvmlEccSramErrorStatus_v1_t()
        self._nvml.nvmlDeviceGetSramEccErrorStatus(self._handle, ctypes.byref(status))
        return bool(status.bThresholdExceeded)

    def _remapped(self) -> Remapped:
        correctable, uncorrectable, pending, failed = self._nvml.nvmlDeviceGetRemappedRows(self._handle)
        return Remapped(correctable, uncorrectable, bool(pending), bool(failed))

    def _recovery(self) -> str:
        field = self._nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
        (answer,) = self._nvml.nvmlDeviceGetFieldValues(self._handle, [field])
        if answer.nvmlReturn:
            raise self._nvml.NVMLError(answer.nvmlReturn)
        return _word(_RECOVERY, answer.value.uiVal)

    def _mig(self) -> Mig:
        nvml, handle = self._nvml, self._handle
        try:
            now, pending = nvml.nvmlDeviceGetMigMode(handle)
        except nvml.NVMLError_NotSupported:  # a card that can't be cut
            return Mig(enabled=False, pending=False, instances=0)
        instances = 0
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if now else 0):
            try:
                nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
                instances += 1
            except nvml.NVMLError_NotFound:
                continue
        return Mig(bool(now), bool(pending), instances)

    def _pcie(self) -> Pcie:
        nvml, handle = self._nvml, self._handle
        return Pcie(
            nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle),
            nvml.nvmlDeviceGetCurrPcieLinkWidth(handle),
            nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle),
            nvml.nvmlDeviceGetMaxPcieLinkWidth(handle),
        )

    def _links(self) -> tuple[int, int]:
        nvml = self._nvml
        states = []
        for link in range(_MAX_LINKS):
            try:
                states.append(bool(nvml.nvmlDeviceGetNvLinkState(self._handle, link)))
            except (nvml.NVMLError_NotSupported, nvml.NVMLError_InvalidArgument):  # that card has no such link
                continue
        return sum(states), len(states)

    def _fabric(self) -> Fabric:
        """By the call that came with driver 535: the one before it says `not supported` on machines whose GPUs are in
        a fabric (seen on two H100 with driver 580)."""
        nvml = self._nvml
        info = nvml.c_nvmlGpuFabricInfo_v2_t()
        try:
            nvml.nvmlDeviceGetGpuFabricInfoV(self._handle, ctypes.byref(info))
        except nvml.NVMLError_NotSupported:
            return Fabric(_FABRIC[0], 0)
        return Fabric(_word(_FABRIC, int(info.state)), int(info.status))


def _peers(nvml: Any, handles: list[Any], index: int) -> tuple[Peer, ...]:
    found = []
    for other, handle in enumerate(handles):
        if other == index:
            continue
        try:
            path = _PATHS.get(nvml.nvmlDeviceGetTopologyCommonAncestor(handles[index], handle), "?")
        except nvml.NVMLError as error:
            path = f"? ({error})"
        try:
            p2p = _word(_P2P, nvml.nvmlDeviceGetP2PStatus(handles[index], handle, _P2P_READ))
        except nvml.NVMLError as error:
            p2p = f"? ({error})"
        found.append(Peer(other, path, p2p))
    return tuple(found)


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if number < len(words) else f"code {number}"


def _numa(bus_id: str) -> int:
    """The NUMA node of a PCI device; -1 where there is but one. A domain has 8 digits in NVML, 4 in sysfs."""
    return int((DEVICES / bus_id[-12:] / "numa_node").read_text())


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip()
    except OSError:
        return ""


def _container(pid: int) -> str:
    """The id of the container that a process is in, as its control group's path has it; empty outside of any."""
    try:
        found = _CONTAINER.search(Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return ""
    return found[0] if found else ""


def _text(value: str | bytes) -> str:
    """NVML's Python binding gave bytes before its release 12."""
    return value.decode() if isinstance(value, bytes) else value
