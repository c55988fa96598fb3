"""Facts: what was read of a node, once, before anything is judged.

A value that could not be read is None or empty, and `unreadable` of the same record says why, under the value's name.
The whole goes to JSON and back, so that the facts of a real machine can be kept, sent by mail, and judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bundler.core.records import from_json, to_json
from bundler.core.strict_json import MalformedJson, parse_object
from bundler.engine.info import EngineInfo

FORMAT = 1
"""The format of the JSON form."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that has something on a GPU. `memory` is bytes; 0 where the driver does not tell (in containers).

    `container` is the id of the container that it runs in.
    """

    pid: int
    name: str
    memory: int
    container: str = ""


@dataclass(frozen=True, slots=True)
class Remapped:
    """Rows of the memory that were replaced by spares (NVML, nvmlDeviceGetRemappedRows)."""

    correctable: int
    uncorrectable: int
    pending: bool
    failed: bool


@dataclass(frozen=True, slots=True)
class Pcie:
    """The link to the host: generation and lanes, as they are now and as GPU and slot could have them."""

    generation: int
    width: int
    max_generation: int
    max_width: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """A PCIe bridge above a GPU, and its ACS control register (Linux, pci_regs.h, PCI_ACS_*); None: it has no ACS."""

    address: str
    acs: int | None = None


@dataclass(frozen=True, slots=True)
class Fabric:
    """Whether the GPU has joined its NVSwitch fabric. `state`: not supported, not started, in progress, completed."""

    state: str
    status: int


@dataclass(frozen=True, slots=True)
class Mig:
    """Whether the GPU is cut into instances, and will be after the next reset."""

    enabled: bool
    pending: bool
    instances: int


@dataclass(frozen=True, slots=True)
class Peer:
    """What lies between a GPU and another: NVML's words for the path, and whether it reads the other's memory."""

    index: int
    path: str
    p2p: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as NVML sees it. Memory is bytes, temperature degrees Celsius; capability is `8.9`.

    `clock_reasons` are the bits of NVML's clocks event reasons; `links` counts the NVLinks that are up and all.
    `bridges` are the PCIe bridges above it, from the root port down.
    """

    index: int
    name: str
    uuid: str
    capability: str
    memory_total: int
    memory_free: int
    bus_id: str = ""
    processes: tuple[GpuProcess, ...] = ()
    ecc_uncorrected: int | None = None
    sram_exceeded: bool | None = None
    remapped: Remapped | None = None
    recovery: str | None = None
    clock_reasons: int | None = None
    temperature: int | None = None
    persistence: bool | None = None
    mig: Mig | None = None
    pcie: Pcie | None = None
    bridges: tuple[Bridge, ...] = ()
    links_up: int | None = None
    links: int | None = None
    fabric: Fabric | None = None
    numa: int | None = None
    peers: tuple[Peer, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_geforce(self) -> bool:
        """A consumer card, to which some of NVIDIA's promises do not extend."""
        return "geforce" in self.name.lower() or "titan" in self.name.lower()


@dataclass(frozen=True, slots=True)
class Xid:
    """A fault that the driver wrote to the kernel's log: which, on which PCI device, how often since boot."""

    code: int
    device: str
    count: int


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system. Bytes and inodes: those of it, and those that this user may still take. `device` tells two apart.

    A file system that makes inodes as it needs them (btrfs) states 0 of them.
    """

    total: int
    free: int
    inodes: int = 0
    inodes_free: int = 0
    device: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """The machine under the GPUs. Memory is bytes, `clock` seconds since 1970; -1 as a limit means that there is none.

    `selinux`: off, permissive, enforcing. `device_links`: whether /dev/char has links to NVIDIA's devices.
    """

    memory_total: int | None = None
    memory_available: int | None = None
    cgroup_limit: int | None = None
    swap_total: int | None = None
    swap_free: int | None = None
    huge_pages: int | None = None
    transparent_huge_pages: str | None = None
    numa_nodes: int | None = None
    numa_balancing: bool | None = None
    shm: int | None = None
    memlock: int | None = None
    selinux: str | None = None
    clock: int | None = None
    virtual: bool | None = None
    device_links: bool | None = None
    fabric_manager: bool | None = None
    nvidia_devices: int | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """A node. `disks` has the file systems below the store and below the engine's directory.

    `cuda` is the newest CUDA that the driver speaks (`13.0`).
    """

    host: str
    kernel: str
    cores: int
    machine: Host = field(default_factory=Host)
    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    xids: tuple[Xid, ...] = ()
    engine: EngineInfo | None = None
    store: str = ""
    disks: Mapping[str, Disk] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


def encode(facts: Facts) -> dict[str, Any]:
    """The JSON form, with its format."""
    return {"format": FORMAT, **to_json(facts)}


def parse(raw: bytes, what: str) -> Facts:
    """Read the JSON form; `what` names it in errors. Raises MalformedJson."""
    document = parse_object(raw, what)
    if document.pop("format", None) != FORMAT:
        raise MalformedJson(what, f"it is not facts of format {FORMAT}")
    return from_json(Facts, document, what)
