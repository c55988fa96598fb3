"""What `bundle evaluate` takes of one GPU: LLaMA-Factory holds the whole model on each, whatever shared the training.

Read from LLaMA-Factory 0.9.3 (hparams/parser.py: device_map; model/loader.py: computing in 16 bits; model/adapter.py:
an adapter is merged unless the model is quantized; train/sft/trainer.py: no loss where it generates) and transformers
4.51.3 (generation/utils.py: logits of the last token alone). By formula: no generation was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bundler.planning.held import NF4_BYTES, NF4_LAYER
from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape
from bundler.planning.training_memory import CONTEXT, FRAGMENTATION, NCCL, WORKSPACE

SPREAD = 0.12
"""Half of the interval, a guess as for all that was not measured."""


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """Bytes of one GPU. `peak_bytes` is what torch allocates; `device_bytes` has what is outside torch's count too."""

    peak_bytes: int
    low_bytes: int
    high_bytes: int
    device_bytes: int
    breakdown: Mapping[str, int]

    def fits(self, gpu_bytes: int) -> bool:
        """False only where even the low end is too much."""
        return self.low_bytes + self.outside_bytes <= gpu_bytes

    @property
    def outside_bytes(self) -> int:
        """What torch's count does not have: the context, and NCCL."""
        return self.device_bytes - self.peak_bytes - self.breakdown["fragmentation"]


def evaluate_memory(shape: DecoderShape, setting: TrainingSetting, batch: int, answer: int) -> EvaluationPlan:
    """The peak while `batch` questions of the training's `cutoff_len` tokens are answered with `answer` tokens each.

    Weights in 16 bits (nf4 with an adapter beside it where the training was so; fp32 on fp32); the cache of all
    tokens, and once more that of a layer while it grows (DynamicCache concatenates); one layer's run over the
    questions: gate, up and product, the residual twice and in fp32, q, k, v and the output; the last tokens' logits.
    """
    width = 4 if setting.dtype == "fp32" else 2
    weights = float(shape.parameters * width)
    adapter = 0
    if setting.method == "qlora":
        weights -= shape.linear * (width - NF4_BYTES) - shape.linear_count * NF4_LAYER
        adapter = shape.lora(setting.rank) * width
    tokens = batch * setting.cutoff_len
    cache = 2 * shape.kv * width * batch * (setting.cutoff_len + answer) * (shape.layers + 1)
    run = tokens * (3 * width * shape.active_intermediate + (2 * width + 8) * shape.hidden)
    run += tokens * 2 * width * (shape.q + shape.kv) + batch * shape.vocab * (width + 4)
    parts = {"weights": weights, "adapter": adapter, "kv_cache": cache, "activations": run, "workspace": WORKSPACE}
    breakdown = {name: round(value) for name, value in parts.items()}
    peak = sum(breakdown.values())
    outside = {"cuda_context": CONTEXT, "nccl": round(NCCL["none"]) if setting.world > 1 else 0}
    breakdown |= outside | {"fragmentation": round(peak * FRAGMENTATION)}
    device = sum(breakdown.values())
    return EvaluationPlan(peak, round(peak * (1 - SPREAD)), round(peak * (1 + SPREAD)), device, breakdown)
