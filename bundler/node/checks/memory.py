"""The GPUs' memory: as much as planned, free, and nobody else's."""

from __future__ import annotations

from bundler.core.size import format_size
from bundler.manifest.lock import GpuMemory, Workload
from bundler.node.facts import Facts, Gpu
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import Needs, setting

_UNNOTICED = 15 << 20
"""Bytes that a process may hold without being in the way (Meta GCM 1b7bde97, check_processor)."""
_PROCESSES = "nvidia-smi   # lists them; stop them, or kill PID"


def gpu_memory(facts: Facts, needs: Needs) -> Finding:
    """Has each GPU the memory that the manifest's GPU has?

    With ECC on, NVML reports up to 8 % less than the label says (a T4 of 16 GiB: 15109 MiB).
    """
    wanted = needs.hardware.memory
    gpus = facts.gpus[: needs.gpus]
    small = [gpu for gpu in gpus if gpu.memory_total < wanted * 0.9]
    if not small:
        return good("gpu-memory", ", ".join(sorted({format_size(gpu.memory_total) for gpu in gpus})) or "enough")
    return Finding(
        "gpu-memory",
        Severity.BLOCK,
        f"GPU {small[0].index} has {format_size(small[0].memory_total)}, the bundle needs {format_size(wanted)}",
        why="training or serving would run out of memory",
        remedy="name this GPU as the manifest's target and build the bundle again",
        needed=format_size(wanted),
    )


def gpu_memory_free(facts: Facts, needs: Needs) -> Finding:
    """Is as much free as the workloads take? What this bundle's own containers hold counts as free.

    Servers say by their flags what they take at their start, jobs by what `bundle plan` predicted of them.
    """
    found = _servers(facts, needs) or _predicted(facts, needs)
    return found or good("gpu-memory-free", "enough" if needs.gpus else "none needed")


def _servers(facts: Facts, needs: Needs) -> Finding | None:
    """They get GPUs from the first on, and share it. A service that takes no share of the memory (LLaMA Board,
    LLaMA-Factory's API) is not judged here, nor is SGLang: its share is of what is free when it starts
    (0.4.6.post5, model_runner.py, profile_max_num_token), and counts for those beside it alone.
    """
    taken = [0.0] * len(facts.gpus)
    for workload in needs.workloads:
        of_free = setting(workload, "mem_fraction_static")
        share = setting(workload, "gpu_memory_utilization") or of_free
        if not workload.is_service or not share:
            continue
        for at, gpu in enumerate(facts.gpus[: workload.gpus]):
            beside, taken[at] = taken[at], taken[at] + float(share)
            if of_free:
                continue
            wanted = int(gpu.memory_total * taken[at])
            if gpu.memory_free + _held_by_us(gpu, needs) < wanted:
                return Finding(
                    "gpu-memory-free",
                    Severity.BLOCK,
                    f"{format_size(gpu.memory_free)} of GPU {gpu.index} are free, "
                    f"{workload.name} takes {format_size(wanted)}" + (" with those before it" if beside else ""),
                    why=f"it takes {float(share):.0%} of the whole memory when it starts, and ends where less is free "
                    "(vLLM)",
                    remedy=_PROCESSES,
                    needed=format_size(wanted),
                )
    return None


def _predicted(facts: Facts, needs: Needs) -> Finding | None:
    """What the lock predicts, the worst first: less than the least blocks where the formulas were measured.

    A service is held to its least alone: above it, its cache takes what there is.
    """
    tight: Finding | None = None
    for workload in needs.workloads:
        memory = needs.predicted.get(workload.name)
        if memory is None:
            continue
        for gpu in facts.gpus[: workload.gpus]:
            free = gpu.memory_free + _held_by_us(gpu, needs)
            if free < memory.least_bytes:
                severity = Severity.BLOCK if memory.basis == "measured" else Severity.WARN
                short = _short(workload, memory, gpu, free, severity)
                if severity is Severity.BLOCK:
                    return short
                tight = tight or short
            elif free < memory.device_bytes and not workload.is_service:
                tight = tight or _short(workload, memory, gpu, free, Severity.WARN)
    return tight


def _short(workload: Workload, memory: GpuMemory, gpu: Gpu, free: int, severity: Severity) -> Finding:
    enough = free >= memory.least_bytes
    wanted = memory.device_bytes if enough else memory.least_bytes
    said = "with fragmentation takes about" if enough else "takes at least"
    by = "measured on such a training" if memory.basis == "measured" else "by formula, not compared with a GPU"
    return Finding(
        "gpu-memory-free",
        severity,
        f"{format_size(free)} of GPU {gpu.index} are free, {workload.name} {said} {format_size(wanted)}",
        why=f"it may run out of memory; predicted by bundle plan when the bundle was built, {by}",
        remedy=_PROCESSES,
        needed=format_size(wanted),
    )


def _held_by_us(gpu: Gpu, needs: Needs) -> int:
    """Bytes; all of the GPU where the driver does not say what our process has of it."""
    ours = [process.memory for process in gpu.processes if process.container in needs.ours]
    return sum(ours) if all(ours) else gpu.memory_total


def gpu_processes(facts: Facts, needs: Needs) -> Finding:
    """Does anybody else use the GPUs? What this bundle runs already does not count."""
    unreadable = [gpu for gpu in facts.gpus[: needs.gpus] if "processes" in gpu.unreadable]
    if unreadable:
        gpu = unreadable[0]
        return unread("gpu-processes", f"what runs on GPU {gpu.index}", gpu.unreadable["processes"])
    for gpu in facts.gpus[: needs.gpus]:
        for process in gpu.processes:
            hidden = process.memory == 0
            if process.container in needs.ours or (not hidden and process.memory <= _UNNOTICED):
                continue
            return Finding(
                "gpu-processes",
                Severity.BLOCK if needs.lock else Severity.WARN,
                f"process {process.pid} ({process.name or '?'}) uses GPU {gpu.index}"
                + ("" if hidden else f", {format_size(process.memory)} of it"),
                why="it would share memory and time with the bundle; --accept gpu-processes where that is meant",
                remedy=_PROCESSES,
            )
    return good("gpu-processes", "none" if needs.gpus else "none needed")
