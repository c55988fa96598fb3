"""From the manifest's target to the hardware floor that the lock states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundler.manifest.gpus import BLACKWELL, Capability, Gpu, find
from bundler.manifest.lock import Hardware

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Target

CUDA_12_DRIVER = "525"
"""The oldest driver that runs CUDA 12 (CUDA compatibility guide, minor version compatibility)."""

BLACKWELL_DRIVER = "570"
"""The first driver branch that knows Blackwell (CUDA 12.8 release notes)."""


def capability(target: Target) -> Capability | None:
    """The compute capability of the target's GPUs; None on CPU, and where the GPU is not known."""
    gpu = find(target.gpu) if target.gpu else None
    return (target.capability or (gpu.capability if gpu else None)) if target.count else None


def sold_size(gpu: Gpu, wanted: int) -> int | None:
    """The memory that this GPU is sold with and that `wanted` means; None when it is sold with nothing like that.

    48GiB and 48GB both mean the L20, of which NVML reports 45 GiB: the floor must not be above what there is.
    """
    return next((size for size in gpu.memory if abs(size - wanted) <= size / 10), None)


def hardware(target: Target) -> Hardware:
    """What a node must have for this target."""
    if not target.count:
        return Hardware()
    gpu = find(target.gpu) if target.gpu else None
    computes = capability(target)
    newest = computes is not None and computes >= BLACKWELL
    return Hardware(
        gpus=target.count,
        model=gpu.name if gpu else target.gpu or "",
        memory=_memory(gpu, target.memory),
        capability=str(computes or ""),
        driver=target.driver or (BLACKWELL_DRIVER if newest else CUDA_12_DRIVER),
    )


def _memory(gpu: Gpu | None, wanted: int | None) -> int:
    if gpu is None:
        return wanted or 0
    return (sold_size(gpu, wanted) or wanted) if wanted else gpu.memory[0]
