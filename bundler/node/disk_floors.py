"""Judging how fast the disk below the store is: by how long a checkpoint and the weights take."""

from __future__ import annotations

from bundler.core.size import format_duration, format_size
from bundler.node.disk_rate import DiskRate
from bundler.node.findings import Finding, Severity, good

CHECK = "burn-disk"
SLOW = 200e6
"""Bytes a second that a single hard disk reaches and any SSD passes. Ours: a checkpoint stops all GPUs meanwhile."""
_CHECKPOINT = 10_000_000_000
"""Bytes of the checkpoint that is told as an example. Ours."""


def judge_disk(rate: DiskRate, weights: int = 0) -> Finding:
    """`weights` are the bytes of the bundle's largest model; 0 where there is no bundle."""
    if not rate.same:
        return Finding(
            CHECK,
            Severity.BLOCK,
            f"what was written below {rate.path} was not what was read back",
            why="checkpoints and results are lost on such a disk",
            remedy="dmesg | grep -i -e 'I/O error' -e nvme -e ata; smartctl -a /dev/DISK",
        )
    said = f"writes {_rate(rate.write_rate)}, reads {_rate(rate.read_rate)}" + (
        "" if rate.direct else " (through the page cache)"
    )
    examples = f"a checkpoint of {_takes(_CHECKPOINT, rate.write_rate)}" + (
        f", weights of {_takes(weights, rate.read_rate)}" if weights else ""
    )
    if min(rate.write_rate, rate.read_rate) >= SLOW:
        return good(CHECK, f"{said}: {examples}")
    return Finding(
        CHECK,
        Severity.WARN,
        f"the disk below {rate.path} {said}: {examples}",
        why="all GPUs wait while a checkpoint is written and while weights are read",
        remedy=f"df -T {rate.path}; iostat -x 1   # what else uses it? where it is a hard disk: a store on an SSD",
        needed=_rate(SLOW),
    )


def _rate(bytes_a_second: float) -> str:
    return f"{format_size(bytes_a_second)}/s"


def _takes(size: int, rate: float) -> str:
    return f"{format_size(size)} in {format_duration(size / rate)}"
