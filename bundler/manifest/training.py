"""What the manifest says of training: LLaMA-Factory's arguments, in its terms where it has good ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bundler.manifest.fields import Extra, Line, Names, Section, VersionField


class Lora(Section):
    """LoRA: small matrices trained beside the frozen weights (method lora)."""

    rank: int = Field(default=8, ge=1, le=1024, description="Rank of the matrices (`lora_rank`).")
    alpha: int | None = Field(default=None, ge=1, description="Scale (`lora_alpha`); twice the rank when left out.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout (`lora_dropout`).")
    target: Line = Field(default="all", description="Modules, separated by commas (`lora_target`); `all` linear ones.")


class Train(Section):
    """A training job, run by LLaMA-Factory on all GPUs of the target. After `lora` the adapter is merged."""

    image: Line = Field(description="The image that has LLaMA-Factory, one of `images`.")
    llamafactory: VersionField = Field(
        description="The version of LLaMA-Factory in that image, in quotes: it decides rules and argument names."
    )
    model: Line = Field(description="The model to train, one of `models`.")
    datasets: Names = Field(description="What to train on, some of `datasets`.")
    stage: Literal["pt", "sft", "rm", "dpo", "kto"] = Field(
        default="sft", description="Pre-training, supervised fine-tuning, reward model, DPO, KTO."
    )
    method: Literal["lora", "freeze", "full"] = Field(
        default="lora", description="Which weights are trained (`finetuning_type`)."
    )
    lora: Lora = Field(default_factory=Lora, description="Settings of method `lora`.")
    quantization: Literal["none", "nf4"] = Field(
        default="none",
        description="Hold the frozen weights in 4 bits (QLoRA, by bitsandbytes); with method `lora` only.",
    )
    double_quantization: bool = Field(default=True, description="nf4: quantize the quantization's constants too.")
    template: Line = Field(description="The chat template (LLaMA-Factory's name); it must be the model's own.")
    cutoff_len: int = Field(default=2048, ge=1, description="Tokens of a sample; what is longer is cut off.")
    precision: Literal["bf16", "fp16", "fp32"] | None = Field(
        default=None,
        description="Numbers to compute with; left out: bf16 from compute capability 8.0, fp16 below, fp32 on the CPU.",
    )
    deepspeed: Literal["none", "z0", "z2", "z2-offload", "z3", "z3-offload"] = Field(
        default="none",
        description="DeepSpeed ZeRO: z0 shards nothing, z2 optimizer states and gradients, z3 parameters too; "
        "offload moves the optimizer (z3: and parameters that are not quantized) to the host's memory.",
    )
    batch_size: int = Field(default=1, ge=1, description="Samples a GPU takes at once (`per_device_train_batch_size`).")
    gradient_accumulation: int = Field(
        default=1, ge=1, description="Batches to one step (`gradient_accumulation_steps`)."
    )
    learning_rate: float = Field(default=1.0e-4, gt=0, lt=1, description="Peak learning rate.")
    epochs: float | None = Field(
        default=None, gt=0, description="Passes over the data; 3 when `max_steps` is left out too."
    )
    max_steps: int | None = Field(default=None, ge=1, description="Steps to train, in place of `epochs`.")
    scheduler: Literal[
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
        "cosine_with_min_lr",
        "warmup_stable_decay",
    ] = Field(default="cosine", description="How the learning rate goes (`lr_scheduler_type`).")
    warmup_ratio: float = Field(default=0.0, ge=0, lt=1, description="Share of the steps in which it rises.")
    save_steps: int = Field(
        default=500, ge=1, description="Steps between checkpoints; a job that died goes on from the last."
    )
    logging_steps: int = Field(default=10, ge=1, description="Steps between lines of the log.")
    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="Seed of all randomness.")
    flash_attn: Literal["auto", "disabled", "sdpa", "fa2"] = Field(
        default="auto", description="Attention kernels; `fa2` needs the package flash-attn in the image."
    )
    extra: Extra = Field(
        default={},
        description="Further arguments of LLaMA-Factory, by its own names, where this manifest has no key for them.",
    )
