"""Checks: pure judgements of facts against what a lock asks for. Each gives one finding."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bundler.core.errors import CheckRefused
from bundler.core.size import format_size
from bundler.manifest.lock import Lock
from bundler.node.facts import Facts
from bundler.node.ports import bind_problem

HEADROOM = 1.1
"""Space asked for beyond what is needed: gpud warns below 10 % free (gpud 4a8de33a)."""
UNPACKED = 2.9
"""Bytes that an engine takes for a byte of gzip layers: 2.3 GB for 0.8 GB, measured on PyTorch images."""


class Severity(enum.Enum):
    """Worst first. `cannot read` is a result of its own: neither good nor bad."""

    BLOCK = "block"
    UNREADABLE = "cannot read"
    WARN = "warn"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: what was found, why it matters, what mends it."""

    check: str
    severity: Severity
    what: str
    why: str = ""
    remedy: str = ""


class NodeRefused(CheckRefused):
    """The node can't run the bundle; carries all findings."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        blocked = [finding for finding in self.findings if finding.severity is Severity.BLOCK]
        super().__init__(
            "this node can't run the bundle: " + "; ".join(finding.what for finding in blocked),
            because="; ".join(dict.fromkeys(finding.why for finding in blocked if finding.why)) or None,
            hint="\n      ".join(dict.fromkeys(finding.remedy for finding in blocked if finding.remedy)) or None,
        )


Check = Callable[[Facts, Lock], Finding]


def gpu_count(facts: Facts, lock: Lock) -> Finding:
    """Are there as many GPUs as the manifest asks for?"""
    wanted = lock.hardware.gpus
    if not wanted:
        return Finding("gpu-count", Severity.PASS, "the bundle runs on the CPU")
    if len(facts.gpus) >= wanted:
        return Finding("gpu-count", Severity.PASS, f"{len(facts.gpus)} GPUs, {wanted} needed")
    reason = facts.unreadable.get("gpus")
    return Finding(
        "gpu-count",
        Severity.BLOCK,
        f"{len(facts.gpus)} GPUs are visible, the bundle needs {wanted}",
        why=reason or "the manifest's target names that many",
        remedy="nvidia-smi -L   # lists what the driver sees; lspci | grep -i nvidia lists what is plugged in",
    )


def gpu_model(facts: Facts, lock: Lock) -> Finding:
    """Are they of the model that the manifest names? Another one may do; memory and capability decide."""
    wanted = lock.hardware.model
    strangers = sorted({gpu.name for gpu in facts.gpus if wanted.lower() not in gpu.name.lower()})
    if not wanted or not strangers:
        return Finding("gpu-model", Severity.PASS, ", ".join(sorted({gpu.name for gpu in facts.gpus})) or "none needed")
    return Finding(
        "gpu-model",
        Severity.WARN,
        f"the GPUs are {', '.join(strangers)}, the manifest names {wanted}",
        why="the bundle was planned for the other model",
    )


def gpu_memory(facts: Facts, lock: Lock) -> Finding:
    """Has each GPU the memory that the manifest's GPU has?

    With ECC on, NVML reports up to 8 % less than the label says (a T4 of 16 GiB: 15109 MiB).
    """
    wanted = lock.hardware.memory
    small = [gpu for gpu in facts.gpus[: lock.hardware.gpus] if gpu.memory_total < wanted * 0.9]
    if not small:
        return Finding("gpu-memory", Severity.PASS, "enough")
    return Finding(
        "gpu-memory",
        Severity.BLOCK,
        f"GPU {small[0].index} has {format_size(small[0].memory_total)}, the bundle needs {format_size(wanted)}",
        why="training or serving would run out of memory",
        remedy="name this GPU as the manifest's target and build the bundle again",
    )


def capability(facts: Facts, lock: Lock) -> Finding:
    """Can the images' kernels run on these GPUs? They were chosen for the capability that the manifest names."""
    hardware = lock.hardware
    old = [gpu for gpu in facts.gpus[: hardware.gpus] if _version(gpu.capability) < _version(hardware.capability)]
    if not hardware.capability or not old:
        return Finding("gpu-capability", Severity.PASS, "as planned")
    return Finding(
        "gpu-capability",
        Severity.BLOCK,
        f"{old[0].name} has compute capability {old[0].capability}, the bundle needs {hardware.capability}",
        why="kernels compiled for a newer GPU do not run on an older one (CUDA C programming guide, 5.1)",
        remedy="name this GPU as the manifest's target and build the bundle again",
    )


def driver(facts: Facts, lock: Lock) -> Finding:
    """Is the driver new enough for the images' CUDA?"""
    wanted = lock.hardware.driver
    if not lock.hardware.gpus or not wanted or _version(facts.driver) >= _version(wanted):
        return Finding("driver", Severity.PASS, facts.driver or "none needed")
    return Finding(
        "driver",
        Severity.BLOCK,
        f"the NVIDIA driver is {facts.driver or 'not there'}, the bundle needs {wanted} or newer",
        why="CUDA in a container needs a driver of its own time or newer",
        remedy="carry a newer driver across: the .run installer needs no network",
    )


def gpu_runtime(facts: Facts, lock: Lock) -> Finding:
    """Can the engine give GPUs to containers?"""
    if not lock.hardware.gpus or (facts.engine and facts.engine.offers_gpus):
        return Finding(
            "gpu-runtime", Severity.PASS, "the engine can give GPUs" if lock.hardware.gpus else "none needed"
        )
    return Finding(
        "gpu-runtime",
        Severity.BLOCK,
        "the engine has neither NVIDIA's container runtime nor CDI",
        why="containers would not see the GPUs",
        remedy="nvidia-ctk runtime configure --runtime=docker && systemctl restart docker",
    )


def disk(facts: Facts, lock: Lock) -> Finding:
    """Is there room for the images, unpacked, where the engine keeps them?"""
    compressed = sum({blob.digest: blob.size for image in lock.images for blob in image.blobs}.values())
    needed = int(compressed * UNPACKED * HEADROOM)
    root = facts.engine.root if facts.engine else ""
    free = facts.free.get(root)
    if free is None:
        return Finding(
            "disk", Severity.UNREADABLE, f"the engine's directory {root or '?'} can't be looked at from here"
        )
    if free >= needed:
        return Finding("disk", Severity.PASS, f"{format_size(free)} free in {root}, up to {format_size(needed)} needed")
    return Finding(
        "disk",
        Severity.WARN,
        f"{format_size(free)} are free in {root}; unpacked, the images may take {format_size(needed)}",
        why="layers that the engine holds already take no space, so it may still be enough",
        remedy=f"df -h {root}; docker image prune",
    )


def results_disk(facts: Facts, lock: Lock) -> Finding:
    """Is there room beside the store for what the jobs leave: the merged model is as large as the one it is made of."""
    models = {f"models/{model.name}": sum(file.size for file in model.files) for model in lock.models}
    jobs = [workload for workload in lock.workloads if not workload.is_service]
    needed = int(HEADROOM * max((models.get(m.source, 0) for job in jobs for m in job.mounts), default=0))
    free = facts.free.get(facts.store)
    if free is None:
        return Finding("results-disk", Severity.UNREADABLE, f"the file system of {facts.store} can't be looked at")
    if free >= needed:
        return Finding("results-disk", Severity.PASS, f"{format_size(free)} free in {facts.store}")
    return Finding(
        "results-disk",
        Severity.WARN,
        f"{format_size(free)} are free in {facts.store}; the jobs' results may take {format_size(needed)} and more",
        why="the merged model is as large as the base model; checkpoints come on top. What is there already counts",
        remedy=f"df -h {facts.store}; du -sh {facts.store}/releases/*/results/*",
    )


def ports(lock: Lock, ours: Iterable[int]) -> Finding:
    """Can the services' ports be bound? `ours` are those that this bundle's own containers hold, and will give up."""
    held = set(ours)
    for workload in lock.workloads:
        if not workload.is_service or workload.port in held:
            continue
        problem = bind_problem(workload.bind, workload.port)
        if problem:
            return Finding(
                "ports",
                Severity.BLOCK,
                f"port {workload.port} of {workload.bind}, which the service {workload.name} needs, can't be had",
                why=problem,
                remedy=f"ss -ltnp 'sport = :{workload.port}'   # stop what holds it, or change 'port:' in the manifest",
            )
    return Finding("ports", Severity.PASS, "free")


CHECKS: tuple[Check, ...] = (gpu_count, gpu_model, gpu_memory, capability, driver, gpu_runtime, disk, results_disk)


def judge(facts: Facts, lock: Lock) -> tuple[Finding, ...]:
    """All findings, worst first."""
    order = list(Severity)
    return tuple(sorted((check(facts, lock) for check in CHECKS), key=lambda finding: order.index(finding.severity)))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
