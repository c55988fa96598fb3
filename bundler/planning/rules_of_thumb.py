"""Three rules that people use, in bytes of one GPU: for comparison only, nothing is decided by them."""

from __future__ import annotations

from bundler.planning.setting import TrainingSetting
from bundler.planning.shape import DecoderShape

GB = 10**9


def parameters_rule(shape: DecoderShape, setting: TrainingSetting) -> int:
    """Parameters x bytes + 1 GB + 0.5 GB + 2.5 GB for 1000 tokens of the micro-batch."""
    width = {"full": 16.0, "qlora": 0.5}.get(setting.method, 2.0)
    return round(shape.parameters * width + 1.5 * GB + 2.5 * GB * setting.tokens / 1000)


def llamafactory_table(shape: DecoderShape, setting: TrainingSetting) -> int:
    """LLaMA-Factory's README: GB for each 10^9 parameters: full 18, pure 8, LoRA and freeze 2, QLoRA 0.5.

    The table's own cells for 7B are 120, 60, 16 and 6 GB (README of 0.9.3, "Hardware Requirement").
    """
    each = {"full": 8.0 if setting.pure else 18.0, "qlora": 0.5}.get(setting.method, 2.0)
    return round(shape.parameters * each)


def deepspeed_estimate(shape: DecoderShape, setting: TrainingSetting) -> int:
    """DeepSpeed's estimators for ZeRO 2 and 3 without offload: weights, gradients and states, no activations.

    Stage 2: 4 x P + 16 x P / GPUs; stage 3: 4 x the largest layer + 18 x P / GPUs
    (deepspeed/runtime/zero/stage_1_and_2.py and stage3.py, estimate_zero*_model_states_mem_needs).
    """
    if setting.sharding in ("z3", "fsdp"):
        return round(4 * shape.embedding + 18 * shape.parameters / setting.world)
    return round(4 * shape.parameters + 16 * shape.parameters / setting.world)
