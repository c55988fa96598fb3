"""The PCIe bridges above a device, and whether they send what goes between their ports up to the processor (ACS)."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from bundler.node.facts import Bridge

DEVICES = Path("/sys/bus/pci/devices")
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_HEADER = 64
"""Bytes of a device's configuration space that the kernel shows to users other than root (Linux, pci-sysfs.c)."""
_EXTENDED = 0x100
"""Where the extended capabilities begin; the space ends there in a device of conventional PCI, which has none."""
_ACS = 0x000D
"""The number of the capability; its control register lies 6 bytes into it (Linux, pci_regs.h, PCI_ACS_CTRL)."""


def read_bridges(bus_id: str, devices: Path = DEVICES) -> tuple[Bridge, ...]:
    """The bridges from the root port down to a device. Raises OSError, of which PermissionError where it takes root.

    A domain has 8 digits in NVML, 4 in sysfs.
    """
    if not bus_id:
        raise FileNotFoundError("the driver does not say where the device is")
    above = (devices / bus_id[-12:]).resolve(strict=True).parents
    addresses = [place.name for place in reversed(above) if _ADDRESS.fullmatch(place.name)]
    return tuple(Bridge(address, _acs_of(devices / address / "config")) for address in addresses)


def _acs_of(path: Path) -> int | None:
    config = path.read_bytes()
    if len(config) <= _HEADER:
        raise PermissionError(f"{path} shows its first {len(config)} bytes, the rest to root alone")
    return acs_control(config)


def acs_control(config: bytes) -> int | None:
    """The ACS control register in a configuration space; None where there is no such capability.

    Each capability begins with 32 bits: its number, 4 bits of version, and where the next one lies (PCI Express Base
    Specification, extended capabilities; Linux, PCI_EXT_CAP_ID and PCI_EXT_CAP_NEXT).
    """
    place = _EXTENDED
    seen = set()
    while place >= _EXTENDED and place + 8 <= len(config) and place not in seen:
        seen.add(place)
        (header,) = struct.unpack_from("<I", config, place)
        if header & 0xFFFF == _ACS:
            return int(struct.unpack_from("<H", config, place + 6)[0])
        place = header >> 20 & 0xFFC
    return None
