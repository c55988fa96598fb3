"""Judging what was sampled while the GPUs were at work: clocks, power, temperature, the link to the host."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bundler.node.burn import Burn
from bundler.node.checks.health import THROTTLING
from bundler.node.facts import Facts
from bundler.node.findings import Finding, Severity, good, unread
from bundler.node.gpu_samples import Sample

BUSY = 90
"""Percent of a sampling period from which on a GPU counts as at work."""
HELD = 2
"""Samples in which a slowdown is believed: a single one may be a change of clocks (nvml.h, HwSlowdown)."""
LOW_CLOCK = 0.5
"""The share of its highest clock below which a busy GPU warns. Ours, and wide: the limit of power holds any busy GPU
below its highest clock, small cards most."""
NEAR = 5
"""Degrees before the slowdown from which on it warns: ten seconds of work are not yet as hot as it gets. Ours."""
_THERMAL = 0x40
_POWER_CAP, _SET_BY_HAND = 0x04, 0x02
"""Bits of NVML's clocks event reasons: the limit of power, which holds any busy GPU; clocks that somebody set."""


def under_load(burn: Burn, facts: Facts) -> tuple[Finding, ...]:
    """Three findings, each of the GPU that does worst."""
    busy = {gpu.index: _busy(burn, gpu.index) for gpu in facts.gpus}
    unseen = [str(gpu) for gpu, samples in busy.items() if not samples]
    found = _clocks(burn, busy), _temperature(busy), _link(busy, facts)
    if not unseen:
        return found
    reason = burn.unsampled or f"GPU {', '.join(unseen)} was not seen at work"
    return tuple(unread(each.check, _CHECKS[each.check], reason) if each.severity in _WELL else each for each in found)


_WELL = (Severity.PASS, Severity.UNREADABLE)
_CHECKS = {
    "burn-clocks": "the clocks at work",
    "burn-temperature": "the temperature at work",
    "burn-pcie": "the PCIe link at work",
}


def _busy(burn: Burn, gpu: int) -> tuple[Sample, ...]:
    """The samples of a GPU at work; all of them where NVML has no utilisation to tell by."""
    return tuple(each for each in burn.samples if each.gpu == gpu and (each.busy is None or each.busy >= BUSY))


def _clocks(burn: Burn, busy: dict[int, tuple[Sample, ...]]) -> Finding:
    for gpu, samples in busy.items():
        held = {bit: sum(bool((each.reasons or 0) & bit) for each in samples) for bit in THROTTLING}
        said = [
            f"{THROTTLING[bit]} in {count} of {len(samples)} samples" for bit, count in held.items() if count >= HELD
        ]
        if said:
            return Finding(
                "burn-clocks",
                Severity.BLOCK if held[_THERMAL] >= HELD else Severity.WARN,
                f"GPU {gpu} at work is slowed down: {', '.join(said)}",
                why="training on all GPUs is as fast as the slowest; hardware slowdowns halve the clocks (nvml.h)",
                remedy=f"nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER -i {gpu}   # then look at fans and power",
            )
    for gpu, samples in busy.items():
        if (limited := _limited(gpu, samples)) is not None:
            return limited
    shares = sorted(share for samples in busy.values() if (share := _share(samples)) is not None)
    if not shares:
        return unread("burn-clocks", _CHECKS["burn-clocks"], burn.unsampled or "NVML does not tell them")
    slowest = min((each.flops for each in burn.loads), default=0.0)
    return good(
        "burn-clocks",
        f"{shares[0]:.0%} of the highest clock on the slowest, "
        + ("nothing slowed down" if _tells(busy) else "what holds it is not told")
        + (f"; {slowest / 1e12:.0f} TFLOP/s kept up for {burn.loads[0].seconds:.0f} s" if slowest else ""),
    )


def _limited(gpu: int, samples: tuple[Sample, ...]) -> Finding | None:
    """A limit of power that somebody lowered; a clock far below the highest, and by what it is held."""
    limits = next(
        ((s.limit, s.usual_limit) for s in samples if s.limit is not None and s.usual_limit is not None), None
    )
    if limits and limits[0] < limits[1] - 1:
        return Finding(
            "burn-clocks",
            Severity.WARN,
            f"the power of GPU {gpu} is limited to {limits[0]:.0f} W, its usual limit is {limits[1]:.0f} W",
            why="somebody set it (nvidia-smi -pl), or the machine can't feed it; power is what holds a busy GPU",
            remedy=f"nvidia-smi -i {gpu} -pl {limits[1]:.0f}   # where power supply and cooling allow it",
            needed=f"{limits[1]:.0f} W",
        )
    share = _share(samples)
    if share is None or share >= LOW_CLOCK:
        return None
    reasons = {bit for each in samples for bit in (_POWER_CAP, _SET_BY_HAND) if (each.reasons or 0) & bit}
    by = {_POWER_CAP: "the limit of power", _SET_BY_HAND: "clocks that somebody set (nvidia-smi -ac, -lgc)"}
    named = " and ".join(by[bit] for bit in sorted(reasons, reverse=True))
    return Finding(
        "burn-clocks",
        Severity.WARN,
        f"GPU {gpu} at work runs at {share:.0%} of its highest clock" + (f", held by {named}" if named else ""),
        why="training on all GPUs is as fast as the slowest",
        remedy=f"nvidia-smi -q -d PERFORMANCE,CLOCK,POWER -i {gpu}; nvidia-smi -rac -i {gpu}; nvidia-smi -rgc -i {gpu}",
        needed=f"{LOW_CLOCK:.0%}",
    )


def _share(samples: tuple[Sample, ...]) -> float | None:
    shares = [each.clock / each.max_clock for each in samples if each.clock is not None and each.max_clock]
    return median(shares) if shares else None


def _temperature(busy: dict[int, tuple[Sample, ...]]) -> Finding:
    told = [each for each in _all(busy) if each.margin is not None]
    if not told:
        return unread("burn-temperature", _CHECKS["burn-temperature"], "NVML tells no threshold of it")
    hottest = min(told, key=lambda each: each.margin or 0)
    said = f"{hottest.temperature} degrees, {hottest.margin} before it slows down"
    if (hottest.margin or 0) > NEAR:
        return good("burn-temperature", f"the hottest has {said}")
    return Finding(
        "burn-temperature",
        Severity.WARN,
        f"GPU {hottest.gpu} at work has {said}",
        why="these were ten seconds; hours of training are hotter",
        remedy=f"nvidia-smi -q -d TEMPERATURE,PERFORMANCE -i {hottest.gpu}   # then look at fans and the air's way",
        needed=f"more than {NEAR} degrees",
    )


def _link(busy: dict[int, tuple[Sample, ...]], facts: Facts) -> Finding:
    """Idle links slow down to save power; at work one has the generation that GPU and slot allow."""
    reached = []
    for gpu in facts.gpus:
        seen = max((each.generation for each in busy[gpu.index] if each.generation is not None), default=None)
        if seen is None or gpu.pcie is None:
            continue
        reached.append(seen)
        if seen < gpu.pcie.max_generation:
            return Finding(
                "burn-pcie",
                Severity.WARN,
                f"the link of GPU {gpu.index} runs at PCIe {seen} at work, it could at {gpu.pcie.max_generation}",
                why="loading models, offload and NCCL without NVLink all go through it",
                remedy=f"lspci -vv -s {gpu.bus_id[-12:]} | grep LnkSta   # then reseat the card, or look at the riser",
                needed=f"PCIe {gpu.pcie.max_generation}",
            )
    if not reached:
        return unread("burn-pcie", _CHECKS["burn-pcie"], "NVML does not tell it")
    return good("burn-pcie", f"PCIe {min(reached)} at work")


def _tells(busy: dict[int, tuple[Sample, ...]]) -> bool:
    return all(each.reasons is not None for each in _all(busy))


def _all(busy: dict[int, tuple[Sample, ...]]) -> Iterator[Sample]:
    for samples in busy.values():
        yield from samples
