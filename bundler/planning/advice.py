"""Whether a training fits, and if not, the nearest changes that make it fit, cheapest in speed first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape
from bundler.planning.training_memory import MemoryPlan, train_memory

Verdict = Literal["fits", "tight", "does not fit"]
MOST = 6  # pieces of advice that a person reads
_BEFORE = {"z2": ("none", "z0"), "z3": ("none", "z0", "z2")}


@dataclass(frozen=True, slots=True)
class Advice:
    """A change, or several at once, with what it then takes. `cost` ranks the loss of speed; it is no measure."""

    change: str
    setting: TrainingSetting
    peak_bytes: int
    device_bytes: int
    host_bytes: int
    cost: int


@dataclass(frozen=True, slots=True)
class _Change:
    words: str
    cost: int
    values: dict[str, Any]


def verdict(plan: MemoryPlan, gpu_bytes: int) -> Verdict:
    """`fits` with the usual fragmentation; `tight` only where the prediction's upper end fits without any."""
    if plan.device_bytes <= gpu_bytes:
        return "fits"
    outside = plan.breakdown["cuda_context"] + plan.breakdown["nccl"]
    return "tight" if plan.high_bytes + outside <= gpu_bytes else "does not fit"


def advise(shape: DecoderShape, setting: TrainingSetting, gpu_bytes: int) -> tuple[Advice, ...]:
    """The fewest changes that fit, by their cost; empty where the setting fits, or no three changes help."""
    if verdict(train_memory(shape, setting), gpu_bytes) == "fits":
        return ()
    changes = list(_changes(setting))
    for many in (1, 2, 3):
        found: dict[frozenset[str], Advice] = {}
        for chosen in combinations(changes, many):
            keys = [key for one in chosen for key in one.values]
            if len(keys) != len(set(keys)):
                continue
            kinds = frozenset(keys)
            changed = replace(setting, **{key: value for one in chosen for key, value in one.values.items()})
            plan = train_memory(shape, changed)
            cost = sum(one.cost for one in chosen)
            if verdict(plan, gpu_bytes) == "fits" and (kinds not in found or cost < found[kinds].cost):
                words = ", ".join(one.words for one in chosen)
                found[kinds] = Advice(words, changed, plan.peak_bytes, plan.device_bytes, plan.host_bytes, cost)
        if found:
            return tuple(sorted(found.values(), key=lambda one: (one.cost, one.peak_bytes))[:MOST])
    return ()


def _changes(setting: TrainingSetting) -> Iterator[_Change]:
    if not setting.liger:
        yield _Change("liger: true", 0, {"liger": True})
    for cost, divisor in enumerate((2, 4, 8, 16), 1):
        if setting.batch % divisor == 0:
            words = f"batch_size: {setting.batch // divisor} with {divisor} times the gradient_accumulation"
            yield _Change(words, cost, {"batch": setting.batch // divisor})
        if setting.method in ("lora", "qlora") and setting.rank // divisor >= 4:
            yield _Change(f"lora.rank: {setting.rank // divisor}", cost, {"rank": setting.rank // divisor})
        if setting.cutoff_len // divisor >= 256:
            length = setting.cutoff_len // divisor
            yield _Change(f"cutoff_len: {length} (longer samples lose their end)", 20 + cost, {"cutoff_len": length})
    if not setting.checkpointing:
        yield _Change("extra without disable_gradient_checkpointing", 6, {"checkpointing": True})
    if setting.world > 1:
        for stage, cost in (("z2", 5), ("z3", 10)):
            if setting.sharding in _BEFORE[stage] and not (stage == "z3" and setting.method == "qlora"):
                yield _Change(f"deepspeed: {stage}", cost, {"sharding": stage})
        if not setting.offload:
            yield _Change("deepspeed: z3-offload", 30, {"sharding": "z3", "offload": True})
    if setting.method == "lora":
        yield _Change("quantization: nf4", 12, {"method": "qlora"})
    if setting.method == "full":
        yield _Change("method: lora", 15, {"method": "lora"})
    for many in (2, 4, 8):
        if setting.world < many and setting.method != "qlora":
            yield _Change(f"{many} GPUs with deepspeed: z3", 25 + many, {"world": many, "sharding": "z3"})
