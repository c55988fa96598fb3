"""The training peak of one GPU, from the shape of the model and the settings; derived in docs/memory.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bundler.planning.activations import Activations, activations
from bundler.planning.shape import DecoderShape

Method = Literal["full", "freeze", "lora", "qlora"]
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # 4 bits, a byte for 64 of them, a float for 256 of those (QLoRA, section 3)
NF4_LAYER = 2560  # tables of one layer, each in blocks of 512 bytes
WORKSPACE = 2 * 32 * 2**20  # cuBLAS on Hopper, one for the thread of forward and one for that of backward
CONTEXT = 804_000_000  # seen on an H100, CUDA 13.0, torch 2.11: memory of the device less torch's reserve
NCCL = 512 * 2**20  # not measured here
FRAGMENTATION = 0.13  # reserve over peak: the middle of the runs in docs/memory-measurements.jsonl is 1.12


@dataclass(frozen=True, slots=True)
class TrainingSetting:
    """How a model is trained. `sharding` is DeepSpeed's stage, or 3 for FSDP with full sharding."""

    method: Method = "lora"
    batch: int = 1
    cutoff_len: int = 2048
    rank: int = 8
    checkpointing: bool = True
    liger: bool = False
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    pure: bool = False
    """Trains the weights in `dtype` themselves, without fp32 masters (LLaMA-Factory's pure_bf16)."""
    sharding: Literal[0, 1, 2, 3] = 0
    offload: bool = False
    world: int = 1
    freeze_layers: int = 2
    sequences: int = 1
    """Sequences of a sample: two where it is a better and a worse answer (dpo, rm), or has a KL term (kto)."""

    @property
    def tokens(self) -> int:
        return self.batch * self.sequences * self.cutoff_len


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of one GPU. `peak_bytes` is torch.cuda.max_memory_allocated; context, NCCL, fragmentation come on top."""

    peak_bytes: int
    low_bytes: int
    high_bytes: int
    device_bytes: int
    host_bytes: int
    moment: str
    breakdown: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Static:
    weights: float
    adapter: float
    gradients: float
    states: float
    update: float
    trainable: int


def train_memory(shape: DecoderShape, setting: TrainingSetting) -> MemoryPlan:
    """The peak of one GPU: the highest of the moments of a step, once optimizer states exist.

    The moments: the end of forward, the loss's backward, the recomputation of the last layer and of the first,
    and the optimizer's update. Which one is highest is `moment`.
    """
    static = _static(shape, setting)
    acts = activations(shape, setting)
    moments = _moments(static, acts)
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    buffers = _buffers(shape, setting, static.trainable)
    parts = {
        "weights": static.weights,
        "adapter": static.adapter,
        "optimizer_states": static.states,
        "gradients": 0.0,
        "activations": 0.0,
        "recomputation": 0.0,
        "logits_and_loss": 0.0,
        "optimizer_update": 0.0,
        "workspace": WORKSPACE,
        "communication": buffers,
    } | moments[moment]
    breakdown = {name: round(value) for name, value in parts.items()}
    peak = sum(breakdown.values())
    measured = setting.world == 1 and setting.dtype == "bf16" and not setting.pure and not shape.experts
    spread = 0.03 if measured else 0.12
    outside = {"cuda_context": CONTEXT, "nccl": NCCL if setting.world > 1 else 0}
    breakdown |= outside | {"fragmentation": round(peak * FRAGMENTATION)}
    host = static.trainable * 12 / setting.world if setting.offload else 0  # masters and both moments in fp32
    return MemoryPlan(
        peak,
        round(peak * (1 - spread)),
        round(peak * (1 + spread)),
        peak + sum(outside.values()) + breakdown["fragmentation"],
        round(host),
        moment,
        breakdown,
    )


def _static(shape: DecoderShape, setting: TrainingSetting) -> _Static:
    full = shape.parameters
    width = 4 if setting.dtype == "fp32" else 2
    weights, adapter = float(full * width), 0.0
    if setting.method == "full":
        trainable = full
        each = width if setting.pure else 4
        weights = float(full * each)
    elif setting.method == "freeze":
        trainable = (full - shape.embedding * (1 if shape.tied else 2) - shape.hidden) // shape.layers
        trainable *= min(setting.freeze_layers, shape.layers)
        each = width if setting.pure else 4
        weights += trainable * (each - width)
    else:
        trainable, each = shape.lora(setting.rank), 4
        adapter = float(trainable * each)
        if setting.method == "qlora":
            weights -= shape.linear * (width - NF4_BYTES) - shape.linear_count * NF4_LAYER
    gradients, update = float(trainable * each), float(trainable * each)
    states = 2 * update
    stage, world = setting.sharding, max(1, setting.world)
    if stage >= 3:
        weights, adapter = weights / world, adapter / world
    if stage >= 2:
        gradients /= world
    if stage >= 1:
        states, update = states / world, update / world
    if setting.offload and stage:
        states = update = 0.0
    return _Static(weights, adapter, gradients, states, update, trainable)


def _moments(static: _Static, acts: Activations) -> dict[str, dict[str, float]]:
    kept, grads = acts.kept, static.gradients
    return {
        "end of forward": {"activations": kept + acts.casts, "logits_and_loss": acts.forward_loss},
        "loss backward": {"activations": kept, "logits_and_loss": acts.backward_loss},
        "backward of the last layer": {
            "activations": kept - acts.head,
            "recomputation": acts.layer,
            "gradients": grads * acts.first_gradients,
        },
        "backward of the first layer": {
            "activations": acts.one_checkpoint,
            "recomputation": acts.layer,
            "gradients": grads * acts.last_gradients,
        },
        "backward of the first trained layer": {
            "activations": (kept - acts.head) * acts.trained_from,
            "recomputation": acts.layer,
            "gradients": grads * acts.trained_gradients,
        },
        "optimizer update": {"gradients": grads, "optimizer_update": static.update},
    }


def _buffers(shape: DecoderShape, setting: TrainingSetting, trainable: int) -> float:
    """Buckets of the gradients' reduction (DDP: a copy of them), and with stage 3 two gathered layers and lm_head."""
    if setting.world == 1:
        return 0.0
    if setting.sharding == 0:
        return trainable * 4.0
    if setting.sharding < 3:
        return min(trainable * 4.0, 2 * 5e8 * 2)  # DeepSpeed's reduce and gather buckets of 5e8 elements
    return 2.0 * (2 * shape.linear // shape.layers + shape.embedding)
