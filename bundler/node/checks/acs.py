"""Whether PCIe switches send copies between GPUs up to the processor and back (Access Control Services, ACS)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from bundler.node.checks.health import judged
from bundler.node.facts import Bridge, Facts, Gpu
from bundler.node.findings import Finding, Severity, good
from bundler.node.needs import Needs

_REDIRECTS = {0x04: "request redirect", 0x08: "completion redirect"}
"""The bits of the control register that take a copy off its direct way (Linux, pci_regs.h, PCI_ACS_RR, PCI_ACS_CR).
Source validation, by which NCCL's guide tells that ACS is on, refuses forged senders and redirects nothing."""


def acs(facts: Facts, needs: Needs) -> Finding:
    """Is the direct way open between GPUs behind one PCIe switch?"""
    gpus = judged(facts, needs)
    if len(gpus) < 2:
        return good("acs", "one GPU" if gpus else "none needed")
    if facts.machine.virtual:
        return good("acs", "a virtual machine, which needs ACS: its host's PCIe switches are not seen from here")
    unread = next(((gpu, gpu.unreadable["bridges"]) for gpu in gpus if "bridges" in gpu.unreadable), None)
    if unread:
        return Finding(
            "acs",
            Severity.UNREADABLE,
            f"the PCIe bridges above GPU {unread[0].index} could not be read",
            why=unread[1],
            remedy="sudo bundle check   # reading them takes root",
        )
    if all(gpu.links_up for gpu in gpus):
        return good("acs", "the GPUs reach each other by NVLink, not through PCIe switches")
    closed = [(one, other, port) for one, other in combinations(gpus, 2) for port in _closed(one, other)]
    if not closed:
        redirecting = {bridge.address for gpu in gpus for bridge in gpu.bridges if _redirects(bridge)}
        return good(
            "acs",
            f"redirects at {', '.join(sorted(redirecting))}, which no copy between these GPUs could do without"
            if redirecting
            else "no bridge above the GPUs redirects",
        )
    one, other, port = closed[0]
    ports = " ".join(sorted({each.address for _, _, each in closed}))
    return Finding(
        "acs",
        Severity.WARN,
        f"GPU {one.index} and {other.index} are behind one PCIe switch, and ACS takes copies between them through the "
        f"processor (port {port.address}: {', '.join(_redirects(port))})",
        why="it makes peer-to-peer copies slow, or hang (NCCL, troubleshooting, PCI Access Control Services)",
        remedy=f"for port in {ports}; do setpci -s $port ECAP_ACS+0x6.w=0000; done   # until the next boot; "
        "for good: the IOMMU (VT-d, AMD-Vi) or ACS off in the firmware's settings",
    )


def _closed(one: Gpu, other: Gpu) -> Iterator[Bridge]:
    """The redirecting ports on the direct way: those below the lowest bridge that both GPUs are behind.

    Without such a bridge there is no direct way: it leads through the processor in any case.
    """
    shared = {bridge.address for bridge in one.bridges} & {bridge.address for bridge in other.bridges}
    if shared:
        for bridge in (*one.bridges, *other.bridges):
            if bridge.address not in shared and _redirects(bridge):
                yield bridge


def _redirects(bridge: Bridge) -> list[str]:
    return [name for bit, name in _REDIRECTS.items() if (bridge.acs or 0) & bit]
