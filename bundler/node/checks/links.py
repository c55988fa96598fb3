"""How the GPUs are connected: to the host by PCIe, to each other by NVLink, NVSwitch and peer-to-peer access."""

from __future__ import annotations

from bundler.node.checks.health import judged, unread_of
from bundler.node.facts import Facts, Gpu
from bundler.node.findings import Finding, Severity, good
from bundler.node.needs import Needs

_UNSWITCHED = "not supported"
_ABSENT = ("not supported", "not found")
"""NVML, of a card without such links, and of a driver that has no function to ask."""
_FULL_WIDTH = ("A100", "A800", "H100", "H800", "H20", "H200", "B200", "L20", "L40", "A40", "A10", "V100")
"""GPUs for servers, all of which have 16 lanes (data sheets); DCGM 72fa3fea fails an H100 that runs on fewer."""
_SLOWEST = 3
"""The PCIe generation below which a GPU's link counts as faulty (DCGM, H100)."""


def pcie(facts: Facts, needs: Needs) -> Finding:
    """Has the link to the host all its lanes? The generation is judged by what it can be: idle links slow down."""
    if (problem := unread_of("gpu-pcie", "pcie", "the PCIe link", facts, needs, _ABSENT)) is not None:
        return problem
    for gpu in judged(facts, needs):
        link = gpu.pcie
        if link is None or (link.width >= link.max_width and link.max_generation >= _SLOWEST):
            continue
        narrow = link.width < link.max_width
        full = gpu.name.replace("-", " ").split()
        server = any(name in full for name in _FULL_WIDTH)
        return Finding(
            "gpu-pcie",
            Severity.BLOCK if server and narrow else Severity.WARN,
            f"GPU {gpu.index} is linked by PCIe {link.max_generation} x{link.width}"
            + (f", it could have x{link.max_width}" if narrow else ", a slow one"),
            why="loading models, offload and NCCL without NVLink all go through it",
            remedy="lspci -vv -s " + gpu.bus_id[-12:] + " | grep LnkSta   # then reseat the card, or look at the riser",
            needed=f"x{link.max_width}" if narrow else f"PCIe {_SLOWEST}",
        )
    links = sorted({f"PCIe {g.pcie.max_generation} x{g.pcie.width}" for g in judged(facts, needs) if g.pcie})
    return good("gpu-pcie", ", ".join(links) or "none needed")


def nvlink(facts: Facts, needs: Needs) -> Finding:
    """Are all NVLinks up that a GPU has?"""
    if (problem := unread_of("gpu-nvlink", "links", "the NVLinks", facts, needs, _ABSENT)) is not None:
        return problem
    gpus = judged(facts, needs)
    for gpu in gpus:
        if (gpu.links_up or 0) < (gpu.links or 0):
            switched = gpu.fabric is not None and gpu.fabric.state != _UNSWITCHED
            bridged = switched or any((other.links_up or 0) > 0 for other in gpus)
            return Finding(
                "gpu-nvlink",
                Severity.BLOCK if switched else Severity.WARN if bridged else Severity.PASS,
                f"{gpu.links_up} of the {gpu.links} NVLinks of GPU {gpu.index} are up",
                why="on a machine with NVSwitch all must be; elsewhere it may be that no bridge is fitted",
                remedy=f"nvidia-smi nvlink -s -i {gpu.index}   # says which" if bridged else "",
            )
    counts = sorted({gpu.links or 0 for gpu in gpus})
    return good("gpu-nvlink", f"{counts[-1]} links on each, all up" if counts and counts[-1] else "none there")


def fabric(facts: Facts, needs: Needs) -> Finding:
    """Have the GPUs of a machine with NVSwitch joined its fabric?"""
    if (problem := unread_of("gpu-fabric", "fabric", "the fabric", facts, needs, _ABSENT)) is not None:
        return problem
    gpus = [gpu for gpu in judged(facts, needs) if gpu.fabric and gpu.fabric.state != _UNSWITCHED]
    for gpu in gpus:
        if gpu.fabric and (gpu.fabric.state != "completed" or gpu.fabric.status):
            return Finding(
                "gpu-fabric",
                Severity.BLOCK,
                f"GPU {gpu.index} has not joined the NVSwitch fabric: {gpu.fabric.state}, status {gpu.fabric.status}",
                why="CUDA does not start (error 802) until NVIDIA's fabric manager has set it up"
                + ("" if facts.machine.fabric_manager else "; none runs here"),
                remedy="systemctl enable --now nvidia-fabricmanager   # of exactly the driver's version",
            )
    return good("gpu-fabric", "all have joined" if gpus else "no NVSwitch")


def peers(facts: Facts, needs: Needs) -> Finding:
    """Can the GPUs that work together read each other's memory?"""
    gpus = judged(facts, needs)
    if len(gpus) < 2:
        return good("gpu-p2p", "one GPU" if gpus else "none needed")
    for gpu in gpus:
        for peer in gpu.peers:
            if peer.index < needs.gpus and peer.p2p != "ok":
                consumer = " (GeForce cards since Ada have none)" if gpu.is_geforce else ""
                return Finding(
                    "gpu-p2p",
                    Severity.WARN,
                    f"GPU {gpu.index} can't read the memory of GPU {peer.index}: {peer.p2p}{consumer}",
                    why="NCCL goes through the host's memory, slower; where it hangs, NCCL_P2P_DISABLE=1 helps",
                    remedy="nvidia-smi topo -p2p r   # and look for ACS and the IOMMU in the firmware's settings",
                )
    paths = sorted({_path(gpu, peer.path) for gpu in gpus for peer in gpu.peers})
    if "SYS" in paths:
        return Finding(
            "gpu-p2p",
            Severity.WARN,
            "between some GPUs lies the link between processors (SYS)",
            why="it is the slowest path; which GPUs work together can't be chosen better where all are used",
            remedy="nvidia-smi topo -m",
        )
    return good("gpu-p2p", f"all read each other's memory ({', '.join(paths)})")


def _path(gpu: Gpu, path: str) -> str:
    return "NVLink" if gpu.links_up else path
