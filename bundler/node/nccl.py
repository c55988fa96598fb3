"""What NCCL says with NCCL_DEBUG=INFO, as advice: which variable helps with what it complains of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bundler.node.burn import Burn
from bundler.node.findings import Finding, Severity, good


@dataclass(frozen=True, slots=True)
class Symptom:
    """Words in NCCL's output, what they mean, and what helps."""

    words: re.Pattern[str]
    what: str
    remedy: str


def _symptom(words: str, what: str, remedy: str) -> Symptom:
    return Symptom(re.compile(words, re.IGNORECASE), what, remedy)


SYMPTOMS: tuple[Symptom, ...] = (
    _symptom(
        r"WARN.*(NET/IB|ibv_|mlx5).*(error|fail|timed? ?out)|NET/IB.*Got completion.*(error|status)",
        "InfiniBand is there and fails",
        "NCCL_IB_DISABLE=1 for the job: on one node nothing is lost",
    ),
    _symptom(
        r"peer access is not supported|WARN.*(P2P|peer).*(fail|not supported|disabled)|WARN.*cudaIpc",
        "peer-to-peer access between GPUs fails",
        "NCCL_P2P_DISABLE=1 for the job; then look for ACS and the IOMMU",
    ),
    _symptom(
        r"No (socket )?interface found|Bootstrap ?:.*no (socket|interface)|WARN.*connect.*(refused|failed|No route)",
        "NCCL found no network interface that works",
        "NCCL_SOCKET_IFNAME=lo for the job; across nodes, the interface between them",
    ),
    _symptom(
        r"Bootstrap ?: Using (docker|br-|virbr|veth|cni|flannel|cali)",
        "NCCL talks through an interface of containers, which reaches no other node",
        "NCCL_SOCKET_IFNAME=eth0 for the job, or what the real interface is called",
    ),
    _symptom(
        r"WARN.*(shm|/dev/shm).*(No space|fail|error)|No space left on device",
        "/dev/shm is too small for NCCL",
        "build the bundle again with this version of bundle, which gives containers 16 GiB",
    ),
    _symptom(
        r"Channel 00.*via NET/", "GPUs of one node talk through the network", "nvidia-smi topo -m; NCCL_NET_GDR_LEVEL"
    ),
)
"""NCCL's documentation, troubleshooting and environment variables; and lines as NCCL 2.28 prints them."""
_PATH = re.compile(r"Channel 00\S* : .* via (\S+)")
_TIMED_OUT = re.compile(r"timed? ?out", re.IGNORECASE)


def advice(burn: Burn) -> Iterator[Finding]:
    """A finding for each thing that NCCL complains of; where it does not, one that says how the GPUs talk."""
    found = False
    for symptom in SYMPTOMS:
        line = next((line for line in burn.nccl if symptom.words.search(line)), None)
        if line:
            found = True
            yield Finding(
                "burn-nccl", Severity.WARN, symptom.what, why=f"NCCL says: {line[:200]}", remedy=symptom.remedy
            )
    stuck = next((each for each in burn.failed if each.at == "all-reduce" and _TIMED_OUT.search(each.error)), None)
    if stuck and not found:
        found = True
        yield Finding(
            "burn-nccl",
            Severity.WARN,
            "the all-reduce hangs, and NCCL does not say why",
            why="most often the IOMMU or ACS breaks peer-to-peer access, which NCCL does not notice",
            remedy="NCCL_P2P_DISABLE=1 for the job; if that helps, switch ACS off in the firmware",
        )
    if not found and len(burn.seen) > 1:
        paths = sorted({match[1] for line in burn.nccl if (match := _PATH.search(line))})
        yield good("burn-nccl", f"GPUs talk via {', '.join(paths)}" if paths else "no complaint")
