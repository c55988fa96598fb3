"""ACS: GPUs behind one PCIe switch that still copy through the processor are told so, before NCCL is slow or hangs."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from node_cases import FACTS, L20, finding

from bundler.node.facts import Bridge, Facts
from bundler.node.findings import Severity
from bundler.node.pci import acs_control, read_bridges

LINUX = 0x1D
"""What Linux switches on where there is an IOMMU: SV, RR, CR, UF (drivers/pci/pci.c, pci_std_enable_acs)."""
ROOT, UPSTREAM = Bridge("0000:3a:00.0", LINUX), Bridge("0000:3b:00.0")


def behind_one_switch(ports: int = LINUX) -> Facts:
    """Four L20, made up, on the ports 3c:00.0 to 3c:03.0 of one switch, each with this control register."""
    paths = ((ROOT, UPSTREAM, Bridge(f"0000:3c:0{index}.0", ports)) for index in range(4))
    return replace(FACTS, gpus=tuple(replace(gpu, bridges=path) for gpu, path in zip(FACTS.gpus, paths, strict=True)))


def config(*capabilities: tuple[int, int, bytes], size: int = 4096) -> bytes:
    """A configuration space with these extended capabilities: place, number, content; chained in this order."""
    space = bytearray(size)
    places = [place for place, _, _ in capabilities]
    for (place, number, content), following in zip(capabilities, (*places, 0)[1:], strict=True):
        struct.pack_into("<I", space, place, number | 1 << 16 | following << 20)
        space[place + 4 : place + 4 + len(content)] = content
    return bytes(space)


def acs_at(place: int, control: int) -> tuple[int, int, bytes]:
    return place, 0x000D, struct.pack("<HH", 0x5F, control)


AER = (0x100, 0x0001, bytes(64))


@pytest.mark.parametrize(
    ("space", "control"),
    [
        (config(acs_at(0x100, LINUX)), LINUX),
        (config(AER, (0x148, 0x0019, bytes(8)), acs_at(0xF24, 0)), 0),
        (config(AER), None),
        (config(size=256), None),
        (config(size=4096), None),
        (b"\xff" * 4096, None),
        (config(AER, (0x148, 0x0019, b""), (0x100, 0x0001, b"")), None),
        (config(AER, acs_at(0xFF8, LINUX)), LINUX),
        (config(AER)[:0x102], None),
    ],
    ids=["first", "last of three", "none", "conventional PCI", "empty", "fallen off", "a circle", "at the end", "cut"],
)
def test_the_control_register_is_found_wherever_it_lies(space: bytes, control: int | None) -> None:
    assert acs_control(space) == control


def tree(root: Path, space: bytes) -> Path:
    """A device behind two bridges, as sysfs shows it: the list of devices has links into the tree of buses."""
    device = root / "devices" / "pci0000:3a" / "0000:3a:00.0" / "0000:3b:00.0" / "0000:3c:00.0"
    device.mkdir(parents=True)
    listed = root / "bus" / "pci" / "devices"
    listed.mkdir(parents=True)
    for place in (device, *device.parents[:2]):
        (place / "config").write_bytes(space)
        (listed / place.name).symlink_to(place)
    return listed


def test_the_bridges_above_a_gpu_are_read_from_the_root_port_down(tmp_path: Path) -> None:
    found = read_bridges("00000000:3c:00.0", tree(tmp_path, config(acs_at(0x100, LINUX))))
    assert found == (Bridge("0000:3a:00.0", LINUX), Bridge("0000:3b:00.0", LINUX))


def test_what_only_root_may_read_is_not_taken_for_a_bridge_without_acs(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="first 64 bytes"):
        read_bridges("0000:3c:00.0", tree(tmp_path, bytes(64)))
    with pytest.raises(FileNotFoundError):
        read_bridges("", tmp_path)


def test_each_port_that_redirects_is_in_the_command_that_mends_it() -> None:
    told = finding("acs", behind_one_switch())
    assert told.severity is Severity.WARN
    assert "for port in 0000:3c:00.0 0000:3c:01.0 0000:3c:02.0 0000:3c:03.0; do setpci" in told.remedy


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (behind_one_switch(ports=0x01), "redirects at 0000:3a:00.0, which no copy"),
        (replace(FACTS, gpus=(L20,) * 4), "no bridge above the GPUs redirects"),
        (replace(behind_one_switch(), gpus=behind_one_switch().gpus[:1]), "one GPU"),
        (replace(behind_one_switch(), machine=replace(FACTS.machine, virtual=True)), "a virtual machine"),
        (
            replace(behind_one_switch(), gpus=tuple(replace(g, links=4, links_up=4) for g in behind_one_switch().gpus)),
            "by NVLink",
        ),
        (
            replace(
                FACTS, gpus=tuple(replace(L20, index=i, bridges=(Bridge(f"0000:{i}a:00.0", LINUX),)) for i in range(2))
            ),
            "redirects at 0000:0a:00.0, 0000:1a:00.0, which no copy",
        ),
    ],
    ids=["source validation alone", "no bridges", "one GPU", "virtual", "NVLink", "a root port each"],
)
def test_acs_that_is_in_no_copys_way_is_not_complained_of(found: Facts, said: str) -> None:
    told = finding("acs", found)
    assert told.severity is Severity.PASS
    assert told.what.startswith(said) or said in told.what
