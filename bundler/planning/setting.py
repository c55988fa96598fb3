"""How a model is trained, in the terms that its memory depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["full", "freeze", "lora", "qlora"]
Stage = Literal["pt", "sft", "rm", "dpo", "kto"]
Sharding = Literal["none", "z0", "z2", "z3", "fsdp"]
"""What the GPUs share out: nothing (one GPU, or DDP), or what DeepSpeed's stage does, or FSDP with full sharding."""


@dataclass(frozen=True, slots=True)
class TrainingSetting:
    """How a model is trained, on `world` GPUs."""

    method: Method = "lora"
    batch: int = 1
    cutoff_len: int = 2048
    rank: int = 8
    checkpointing: bool = True
    liger: bool = False
    dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    pure: bool = False
    """Trains the weights in `dtype` themselves, without fp32 masters (LLaMA-Factory's pure_bf16)."""
    sharding: Sharding = "none"
    offload: bool = False
    world: int = 1
    freeze_layers: int = 2
    frozen_kept: bool = True
    """freeze: whether layers below the trained ones leave checkpoints too. LLaMA-Factory's leave none (0.9.3,
    model/model_utils/checkpointing.py, get_custom_gradient_checkpointing_func).
    """
    tables: int = 0
    """How many of embedding and lm_head are trained whole beside an adapter (LLaMA-Factory's additional_target)."""
    stage: Stage = "sft"
    reference: bool = False
    """Whether each batch also goes through the model as it was: dpo, but for orpo and simpo, and kto."""

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch that gradients go through: a sample of dpo and rm is two sequences, of kto one (the
        pair of its KL term has no gradients).
        """
        return self.batch * (2 if self.stage in ("dpo", "rm") else 1) * self.cutoff_len

    @property
    def second_model(self) -> bool:
        """Whether a second model is held for the reference: with LoRA the same one serves, without its adapter."""
        return self.reference and self.method in ("full", "freeze")

    @property
    def width(self) -> int:
        """Bytes of a number that is computed with."""
        return 4 if self.dtype == "fp32" else 2

    @property
    def autocast(self) -> bool:
        """Whether trained fp32 weights are cast for each use: DeepSpeed and FSDP hold copies in bf16 instead."""
        return self.sharding == "none" and not self.pure

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed trains: it computes in bf16 throughout, adapters included, without autocast."""
        return self.sharding in ("z0", "z2", "z3")
