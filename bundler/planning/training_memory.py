"""The training peak of one GPU, from the shape of the model and the settings; derived in docs/memory.md."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.planning.activations import Activations, activations, repeated_kv
from bundler.planning.held import Held, held
from bundler.planning.losses import with_reference
from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape

WORKSPACE = 2 * 32 * 2**20  # cuBLAS on Hopper, one for the thread of forward and one for that of backward
CONTEXT = 804_000_000  # seen on an H100, CUDA 13.0, torch 2.11: memory of the device less torch's reserve
NCCL = {"none": 0.9e9, "fsdp": 1.0e9}  # seen on two H100 (NVLink, NVLS off), beyond the context of one GPU
NCCL_DEEPSPEED = 1.6e9  # as above; it opens more communicators
FRAGMENTATION = 0.13  # reserve over peak: the middle of the runs in docs/memory-measurements.jsonl is 1.12
HELD = ("weights", "adapter", "optimizer_states")
"""The parts of a breakdown that are there all the time."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of one GPU. `peak_bytes` is torch.cuda.max_memory_allocated; context, NCCL, fragmentation come on top.

    `host_bytes` is this GPU's share of what lies in its node's main memory: the node holds as many as it has GPUs.
    """

    peak_bytes: int
    low_bytes: int
    high_bytes: int
    device_bytes: int
    host_bytes: int
    moment: str
    breakdown: dict[str, int]


def train_memory(shape: DecoderShape, setting: TrainingSetting) -> MemoryPlan:
    """The peak of one GPU: the highest of the moments of a step, once optimizer states exist.

    The moments: the end of forward, the loss's backward, the recomputation of the last layer and of the first,
    and the optimizer's update. Which one is highest is `moment`.
    """
    have = with_reference(held(shape, setting), shape, setting)
    moments = _moments(have, activations(shape, setting))
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    parts = {
        "weights": have.weights,
        "adapter": have.adapter,
        "optimizer_states": have.states,
        "gradients": 0.0,
        "activations": 0.0,
        "recomputation": 0.0,
        "logits_and_loss": 0.0,
        "optimizer_update": 0.0,
        "workspace": WORKSPACE,
        "communication": 0.0,
    } | moments[moment]
    parts["gradients"] += have.kept_gradients
    parts["communication"] += have.buffers
    breakdown = {name: round(value) for name, value in parts.items()}
    peak = sum(breakdown.values())
    spread = 0.03 if is_measured(setting) else 0.12
    outside = {"cuda_context": CONTEXT, "nccl": _nccl(setting)}
    breakdown |= outside | {"fragmentation": round(peak * FRAGMENTATION)}
    return MemoryPlan(
        peak,
        round(peak * (1 - spread)),
        round(peak * (1 + spread)) + repeated_kv(shape, setting),
        peak + sum(outside.values()) + breakdown["fragmentation"],
        round(have.host),
        moment,
        breakdown,
    )


def is_measured(setting: TrainingSetting) -> bool:
    """Whether the formulas were compared with GPUs for such a setting (docs/memory.md)."""
    exact = setting.dtype == "bf16" or (setting.world == 1 and setting.checkpointing)
    exact = exact and setting.stage in ("pt", "sft") and not setting.tables
    shared = setting.sharding == "none" or (setting.sharding != "z0" and setting.method != "qlora")
    return exact and shared and setting.world <= 2 and not setting.offload


def _nccl(setting: TrainingSetting) -> int:
    return round(NCCL.get(setting.sharding, NCCL_DEEPSPEED)) if setting.world > 1 else 0


def _moments(have: Held, acts: Activations) -> dict[str, dict[str, float]]:
    kept, grads, backward = acts.kept, have.gradients, have.gathered + have.buckets
    layers = backward + have.layer_gathered
    return {
        "end of forward": {
            "activations": kept + acts.casts,
            "logits_and_loss": acts.forward_loss,
            "communication": have.gathered,
        },
        "loss backward": {"activations": kept, "logits_and_loss": acts.backward_loss, "communication": backward},
        "backward of the last layer": {
            "activations": kept - acts.head,
            "recomputation": acts.layer,
            "gradients": grads * acts.first_gradients,
            "communication": layers,
        },
        "backward of the first layer": {
            "activations": acts.one_checkpoint,
            "recomputation": acts.layer,
            "gradients": grads * acts.last_gradients,
            "communication": layers,
        },
        "backward of the first trained layer": {
            "activations": (kept - acts.head) * acts.trained_from,
            "recomputation": acts.layer,
            "gradients": grads * acts.trained_gradients,
            "communication": layers,
        },
        "end of backward": {
            "gradients": grads - have.root_gradients,
            "communication": backward + have.root,
        },
        "optimizer update": {"gradients": grads, "optimizer_update": have.update},
    }
