"""The machine: memory for merging and offloading, shared and locked memory, swap, pages, NUMA, the clock."""

from __future__ import annotations

from datetime import datetime, timezone

from bundler.core.size import format_size
from bundler.manifest.lock import Workload
from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import Needs, offloaded, setting

OPTIMIZER_BYTES = 16
"""Bytes a trained parameter that an offloaded optimizer takes of the host (DeepSpeed, estimate_zero2_model_states)."""
_SHM = 1 << 30
"""Bytes of /dev/shm without which NCCL and data loaders of several GPUs fail (NCCL's documentation; LF#7315)."""
_SWAP_SHARE = 0.7
"""vLLM 0.8.5, config.py, CacheConfig.verify_with_parallel_config."""
_UNKNOWN_CLOCK = "2025-01-01T00:00:00Z"
"""Before this program was written, so that no clock that is right says less."""


def host_memory(facts: Facts, needs: Needs) -> Finding:
    """Has the host the memory that merging and offloading take at least?"""
    machine = facts.machine
    if machine.memory_available is None:
        return unread("host-memory", "the memory", machine.unreadable.get("memory_total", ""))
    limits = [machine.memory_available]
    if machine.cgroup_limit is not None and machine.cgroup_limit >= 0 and not facts.engine:
        limits.append(machine.cgroup_limit)
    free = min(limits)
    for server in needs.workloads:
        swapped, total = _swap_space(server), machine.memory_total or 0
        if total and swapped > total * _SWAP_SHARE:
            return Finding(
                "host-memory",
                Severity.BLOCK,
                f"{server.name} sets {format_size(swapped)} of swap space aside, the host has {format_size(total)}",
                why="vLLM ends where its swap space is above 70 % of the host's memory (config.py)",
                remedy="extra: {swap-space: 0}   # GiB for each GPU, in the manifest's service; then build again",
                needed=format_size(int(swapped / _SWAP_SHARE)),
            )
    wanted = {job.name: _least(job, needs) for job in needs.workloads}
    for name, least in wanted.items():
        if least > free:
            swap = machine.swap_free or 0
            return Finding(
                "host-memory",
                Severity.WARN if least <= free + swap else Severity.BLOCK,
                f"{format_size(free)} of the host's memory are free, {name} takes {format_size(least)} at least"
                + (f"; with {format_size(swap)} of swap it may go, slowly" if swap else ""),
                why="the kernel would kill it",
                remedy="free -h   # stop what takes it; or less offload in the manifest",
                needed=format_size(least),
            )
    return good(
        "host-memory",
        f"{format_size(free)} free"
        + (f", {format_size(most)} needed" if (most := max(wanted.values(), default=0)) else ""),
    )


def _swap_space(workload: Workload) -> int:
    """Bytes of the host that vLLM sets aside for requests that must wait, 4 GiB for each GPU unless it is told.

    Versions that have no such flag any more take none: then nothing in the command says so, and this is too much.
    """
    if workload.kind != "vllm" or workload.gpus == 0:
        return 0
    try:
        each = float(setting(workload, "swap_space") or 4)
        tensor = int(setting(workload, "tensor_parallel_size") or 1)
    except ValueError:
        return 0
    return int(each * (1 << 30)) * tensor


def _least(workload: Workload, needs: Needs) -> int:
    """Bytes of the host that a workload can't do without.

    Merging holds the model once (LF 0.9.3, export_device: cpu). Offloaded parameters are held once, in 16 bits, and an
    offloaded optimizer has 16 bytes for each parameter that is trained: all of them, unless it is LoRA. What the
    lock predicts is of the whole node, offloaded parameters with it.
    """
    weights = max((needs.weights.get(mount.source, 0) for mount in workload.mounts), default=0)
    if workload.kind == "merge":
        return weights
    optimizer, parameters = offloaded(workload)
    trains_all = setting(workload, "finetuning_type") == "full"
    predicted = needs.predicted.get(workload.name)
    states = weights // 2 * OPTIMIZER_BYTES if optimizer and trains_all else 0
    return max(states + (weights if parameters else 0), predicted.host_bytes if predicted else 0)


def shm(facts: Facts, needs: Needs) -> Finding:
    """Has each container that uses several GPUs enough shared memory? The engine gives it; the host must have it."""
    for workload in needs.workloads:
        if workload.gpus > 1 and workload.shm < _SHM:
            return Finding(
                "shm",
                Severity.BLOCK,
                f"{workload.name} gets {format_size(workload.shm)} of /dev/shm for {workload.gpus} GPUs",
                why="NCCL and data loaders pass tensors through it, and die where it is full (LF#7315, vllm#1710)",
                remedy="build the bundle again with this version of bundle",
                needed=format_size(_SHM),
            )
    if facts.machine.shm is None:
        return unread("shm", "/dev/shm", facts.machine.unreadable.get("shm", ""))
    if needs.gpus > 1 and facts.machine.shm < _SHM:
        return Finding(
            "shm",
            Severity.WARN,
            f"/dev/shm of the host has {format_size(facts.machine.shm)}",
            why="programs outside containers, and containers with --ipc=host, share it",
            remedy="mount -o remount,size=50% /dev/shm",
            needed=format_size(_SHM),
        )
    return good("shm", format_size(facts.machine.shm))


def memlock(facts: Facts, needs: Needs) -> Finding:
    """May containers lock memory? The engine lifts the limit for them, which one without root can't."""
    limit = facts.machine.memlock
    if limit is None:
        return unread("memlock", "the limit of locked memory", facts.machine.unreadable.get("memlock", ""))
    rootless = facts.engine is not None and facts.engine.rootless
    if limit == -1 or not rootless or needs.gpus < 2:
        return good("memlock", "no limit" if limit == -1 else "lifted by the engine")
    return Finding(
        "memlock",
        Severity.BLOCK if needs.lock else Severity.WARN,
        f"the engine runs without root, and the limit of locked memory is {format_size(limit)}",
        why="NCCL locks the memory that GPUs share (NCCL's documentation, ulimit -l)",
        remedy="LimitMEMLOCK=infinity in a drop-in of the user's docker.service",
        needed="no limit",
    )


def swap(facts: Facts, _needs: Needs) -> Finding:
    """Is the host short of memory already?"""
    total, free = facts.machine.swap_total, facts.machine.swap_free
    if total is None or free is None:
        return unread("swap", "the swap", facts.machine.unreadable.get("memory_total", ""))
    if not total or total - free <= total // 10:
        return good("swap", f"{format_size(total)}, {format_size(total - free)} used" if total else "none")
    return Finding(
        "swap",
        Severity.WARN,
        f"{format_size(total - free)} of the swap are used",
        why="the host has been short of memory; what is swapped out stalls training and serving",
        remedy="free -h; swapoff -a && swapon -a   # once there is memory for it",
    )


def huge_pages(facts: Facts, _needs: Needs) -> Finding:
    """Are huge pages set aside, which nothing of a bundle can use?"""
    held, total = facts.machine.huge_pages, facts.machine.memory_total
    if held is None or not total:
        return unread("huge-pages", "the huge pages", facts.machine.unreadable.get("memory_total", ""))
    if held <= total // 10:
        return good("huge-pages", f"{format_size(held)} set aside" if held else "none set aside")
    return Finding(
        "huge-pages",
        Severity.WARN,
        f"{format_size(held)} of {format_size(total)} are set aside as huge pages",
        why="only programs that ask for them can use them, and none of a bundle's does",
        remedy="sysctl vm.nr_hugepages=0   # unless something else here needs them",
    )


def numa(facts: Facts, needs: Needs) -> Finding:
    """Does the kernel move memory between NUMA nodes while GPUs use it?"""
    if facts.machine.numa_nodes is None or facts.machine.numa_balancing is None:
        reason = facts.machine.unreadable.get("numa_nodes") or facts.machine.unreadable.get("numa_balancing", "")
        return unread("numa", "the NUMA nodes", reason)
    nodes = sorted({gpu.numa for gpu in facts.gpus[: needs.gpus] if gpu.numa is not None and gpu.numa >= 0})
    if facts.machine.numa_nodes < 2 or not facts.machine.numa_balancing or not needs.gpus:
        said = f"{facts.machine.numa_nodes} nodes" if facts.machine.numa_nodes > 1 else "one node"
        return good("numa", f"{said}, GPUs on {nodes}" if nodes else said)
    return Finding(
        "numa",
        Severity.WARN,
        f"{facts.machine.numa_nodes} NUMA nodes, and the kernel balances memory between them",
        why="its scans stall threads that feed GPUs (NVIDIA's and AMD's tuning guides switch it off)",
        remedy="sysctl kernel.numa_balancing=0",
    )


def clock(facts: Facts, needs: Needs) -> Finding:
    """Is the clock after the time at which the bundle was made?"""
    if facts.machine.clock is None:
        return unread("clock", "the clock", facts.machine.unreadable.get("clock", ""))
    here = datetime.fromtimestamp(facts.machine.clock, timezone.utc)
    made = _time(needs.made) or _time(_UNKNOWN_CLOCK)
    if made is None or here >= made:
        return good("clock", f"{here:%Y-%m-%d %H:%M} UTC")
    return Finding(
        "clock",
        Severity.WARN,
        f"the clock says {here:%Y-%m-%d %H:%M} UTC, and the bundle was made on {made:%Y-%m-%d}",
        why="certificates, logs and the newest checkpoint go by it",
        remedy=f"date -s '{made:%Y-%m-%d}'   # or the right time, then hwclock --systohc",
        needed=f"{made:%Y-%m-%d}",
    )


def _time(text: str) -> datetime | None:
    """RFC 3339 to the second; engines write fractions that Python 3.10 does not read."""
    try:
        return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
