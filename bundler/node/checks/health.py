"""Whether the GPUs are well: errors of their memory, what the driver wants done, faults since boot, throttling."""

from __future__ import annotations

from bundler.node.facts import Facts, Gpu
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.needs import Needs

RESET_XIDS = frozenset({64, 79, 95, 109, 119, 120, 140, 143, 155, 156, 158})
"""Faults after which a GPU must be reset or the node rebooted (NVIDIA's XID catalogue; gpud 4a8de33a)."""
MEMORY_XIDS = frozenset({48, 63, 74, 92, 94})
"""Faults of memory and links that a GPU lives with for a while (the same)."""
THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Bits of NVML's clocks event reasons that mean trouble; a power cap (0x04) is how a busy GPU runs (nvml.h)."""
_RESET = "nvidia-smi --gpu-reset -i {index}   # with nothing on it; else reboot"


def ecc(facts: Facts, needs: Needs) -> Finding:
    """Have there been uncorrected errors of the memory since the driver was loaded?"""
    if (problem := unread_of("gpu-ecc", "ecc_uncorrected", "the ECC errors", facts, needs)) is not None:
        return problem
    for gpu in judged(facts, needs):
        if gpu.ecc_uncorrected:
            return Finding(
                "gpu-ecc",
                Severity.BLOCK,
                f"GPU {gpu.index} has had {gpu.ecc_uncorrected} uncorrected memory errors since the driver was loaded",
                why="results can't be trusted, and jobs are killed (Meta GCM blocks on any)",
                remedy=_RESET.format(index=gpu.index),
                needed="0",
            )
    return good("gpu-ecc", "no uncorrected errors")


def sram(facts: Facts, needs: Needs) -> Finding:
    """Has a GPU's SRAM failed so often that NVIDIA would replace it?"""
    if (problem := unread_of("gpu-sram", "sram_exceeded", "the state of the SRAM", facts, needs)) is not None:
        return problem
    for gpu in judged(facts, needs):
        if gpu.sram_exceeded:
            return Finding(
                "gpu-sram",
                Severity.BLOCK,
                f"the SRAM of GPU {gpu.index} has had more errors than NVIDIA's threshold",
                why="such a GPU is to be replaced (NVML, bThresholdExceeded)",
                remedy=f"nvidia-smi -q -d ECC -i {gpu.index}   # shows them; have the card replaced",
            )
    return good("gpu-sram", "below the threshold")


def remapped(facts: Facts, needs: Needs) -> Finding:
    """Did replacing bad rows of the memory fail, or wait for a reset?"""
    if (problem := unread_of("gpu-remapped-rows", "remapped", "the remapped rows", facts, needs)) is not None:
        return problem
    gpus = judged(facts, needs)
    for gpu in gpus:
        if gpu.remapped and gpu.remapped.failed:
            return Finding(
                "gpu-remapped-rows",
                Severity.BLOCK,
                f"a bad row of the memory of GPU {gpu.index} could not be replaced",
                why="the spare rows are used up; NVIDIA replaces such a card (GPU memory error management)",
                remedy=f"nvidia-smi -q -d ROW_REMAPPER -i {gpu.index}   # shows it; have the card replaced",
            )
    for gpu in gpus:
        if gpu.remapped and gpu.remapped.pending:
            return Finding(
                "gpu-remapped-rows",
                Severity.WARN,
                f"a bad row of the memory of GPU {gpu.index} is replaced at the next reset",
                why="until then the row is not used (GPU memory error management)",
                remedy=_RESET.format(index=gpu.index),
            )
    return good("gpu-remapped-rows", "none failed, none pending")


def recovery(facts: Facts, needs: Needs) -> Finding:
    """Does the driver ask for a reset or a reboot?"""
    if (problem := unread_of("gpu-recovery", "recovery", "the recovery action", facts, needs)) is not None:
        return problem
    for gpu in judged(facts, needs):
        if gpu.recovery not in (None, "none"):
            return Finding(
                "gpu-recovery",
                Severity.BLOCK,
                f"the driver asks for a {gpu.recovery} of GPU {gpu.index}",
                why="it can't be relied on until then (NVML, GPU_RECOVERY_ACTION)",
                remedy="reboot" if "reboot" in str(gpu.recovery) else _RESET.format(index=gpu.index),
                needed="none",
            )
    return good("gpu-recovery", "none asked for")


def xid(facts: Facts, needs: Needs) -> Finding:
    """Which faults has the driver logged since boot? One that takes a reset blocks, unless the driver is content."""
    if not facts.gpus:
        return good("gpu-xid", "none needed")
    if "xids" in facts.unreadable:
        return Finding(
            "gpu-xid",
            Severity.UNREADABLE,
            "the kernel's log could not be read",
            why=facts.unreadable["xids"],
            remedy="sudo bundle check   # reading it takes root",
        )
    grave = [found for found in facts.xids if found.code in RESET_XIDS]
    known = grave or [found for found in facts.xids if found.code in MEMORY_XIDS]
    if not known:
        others = ", ".join(sorted({str(found.code) for found in facts.xids}))
        return good("gpu-xid", f"XID {others}, which applications cause" if others else "none since boot")
    settled = all(gpu.recovery == "none" for gpu in facts.gpus[: needs.gpus])
    return Finding(
        "gpu-xid",
        Severity.BLOCK if grave and not settled else Severity.WARN,
        "since boot: " + ", ".join(f"XID {found.code} on {found.device} ({found.count} times)" for found in known),
        why="such a fault takes a reset or a reboot" if grave else "the memory or a link has had an error it survived",
        remedy="dmesg | grep -i xid   # what it said; NVIDIA's XID catalogue says what it means",
    )


def throttling(facts: Facts, needs: Needs) -> Finding:
    """Does heat or power hold a GPU's clocks down right now?"""
    if (problem := unread_of("gpu-throttling", "clock_reasons", "the clocks' reasons", facts, needs)) is not None:
        return problem
    for gpu in judged(facts, needs):
        held = [name for bit, name in THROTTLING.items() if (gpu.clock_reasons or 0) & bit]
        if held:
            return Finding(
                "gpu-throttling",
                Severity.WARN,
                f"GPU {gpu.index} runs slower than it could: {', '.join(held)} ({gpu.temperature} degrees)",
                why="training on all GPUs is as fast as the slowest (Azure NHC 0e0a1ac2 warns)",
                remedy=f"nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER -i {gpu.index}   # then look at fans and power",
            )
    return good("gpu-throttling", "none")


def persistence(facts: Facts, needs: Needs) -> Finding:
    """Does the driver stay loaded while nothing uses a GPU?"""
    if (problem := unread_of("gpu-persistence", "persistence", "the persistence mode", facts, needs)) is not None:
        return problem
    off = [str(gpu.index) for gpu in judged(facts, needs) if gpu.persistence is False]
    if not off:
        return good("gpu-persistence", "on" if facts.gpus else "none needed")
    return Finding(
        "gpu-persistence",
        Severity.WARN,
        f"persistence mode is off on GPU {', '.join(off)}",
        why="each start takes seconds longer, and the count of errors is lost in between",
        remedy="nvidia-smi -pm 1   # or: systemctl enable --now nvidia-persistenced",
    )


def mig(facts: Facts, needs: Needs) -> Finding:
    """Are the GPUs whole?"""
    if (problem := unread_of("gpu-mig", "mig", "the MIG mode", facts, needs)) is not None:
        return problem
    for gpu in judged(facts, needs):
        if gpu.mig and (gpu.mig.enabled or gpu.mig.pending):
            return Finding(
                "gpu-mig",
                Severity.BLOCK if needs.lock and gpu.mig.enabled else Severity.WARN,
                f"GPU {gpu.index} is cut into {gpu.mig.instances} MIG instances"
                if gpu.mig.enabled
                else f"GPU {gpu.index} will be cut by MIG after its next reset",
                why="bundles are planned for whole GPUs; NCCL does not join instances of one",
                remedy=f"nvidia-smi -mig 0 -i {gpu.index}   # with nothing on it",
            )
    return good("gpu-mig", "off" if facts.gpus else "none needed")


def judged(facts: Facts, needs: Needs) -> tuple[Gpu, ...]:
    """The GPUs that the bundle takes: the first ones."""
    return facts.gpus[: needs.gpus]


def unread_of(
    check: str, name: str, what: str, facts: Facts, needs: Needs, absent: tuple[str, ...] = ("not supported",)
) -> Finding | None:
    """A card that has no such thing (a consumer's, without ECC) passes; anything else unread is said.

    `absent` are NVML's words for that. None where a GPU tells, which is then to be judged.
    """
    reasons = [(gpu, gpu.unreadable[name]) for gpu in judged(facts, needs) if name in gpu.unreadable]
    for gpu, reason in reasons:
        if not any(words in reason.lower() for words in absent):
            return unread(check, f"{what} of GPU {gpu.index}", reason)
    return good(check, f"{reasons[0][0].name} does not tell") if reasons and len(reasons) == needs.gpus else None
