"""What the manifest says of training: LLaMA-Factory's arguments, in its terms where it has good ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bundler.manifest.fields import Extra, Line, Names, Section, VersionField
from bundler.manifest.methods import Freeze, Lora, Preference, SwanLab


class Train(Section):
    """A training job, run by LLaMA-Factory on all GPUs of the target. After `lora` the adapter is merged."""

    image: Line = Field(description="The image that has LLaMA-Factory, one of `images`.")
    llamafactory: VersionField = Field(
        description="The version of LLaMA-Factory in that image, in quotes: it decides rules and argument names."
    )
    model: Line = Field(description="The model to train, one of `models`.")
    datasets: Names = Field(description="What to train on, some of `datasets`.")
    stage: Literal["pt", "sft", "rm", "dpo", "kto"] = Field(
        default="sft",
        description="Pre-training on text, supervised fine-tuning, reward model (never served), DPO, KTO.",
    )
    method: Literal["lora", "freeze", "full"] = Field(
        default="lora", description="Which weights are trained (`finetuning_type`)."
    )
    lora: Lora = Field(default_factory=Lora, description="Settings of method `lora`.")
    freeze: Freeze = Field(default_factory=Freeze, description="Settings of method `freeze`.")
    preference: Preference = Field(default_factory=Preference, description="Settings of the stages `dpo` and `kto`.")
    quantization: Literal["none", "nf4"] = Field(
        default="none",
        description="Hold the frozen weights in 4 bits (QLoRA, by bitsandbytes); with method `lora` only.",
    )
    double_quantization: bool = Field(default=True, description="nf4: quantize the quantization's constants too.")
    template: Line = Field(description="The chat template (LLaMA-Factory's name); it must be the model's own.")
    cutoff_len: int = Field(default=2048, ge=1, description="Tokens of a sample; what is longer is cut off.")
    packing: bool | None = Field(
        default=None, description="pt, sft: pack several samples into one sequence; left out: in stage pt alone."
    )
    neat_packing: bool = Field(default=False, description="sft: pack, and let no sample see its neighbours.")
    mask_history: bool = Field(default=False, description="sft: train on the last answer of a conversation alone.")
    train_on_prompt: bool = Field(default=False, description="sft: train on the questions too.")
    val_size: int | float | None = Field(
        default=None,
        gt=0,
        description="Samples held back to measure on: a share below 1, or a whole number of them.",
    )
    eval_datasets: Names | None = Field(
        default=None, description="What to measure on, some of `datasets`, in place of `val_size`."
    )
    eval_steps: int | None = Field(
        default=None, ge=1, description="Steps between measurements; left out: `save_steps`."
    )
    eval_batch_size: int = Field(default=1, ge=1, description="Samples a GPU takes at once when it measures.")
    precision: Literal["bf16", "fp16", "fp32"] | None = Field(
        default=None,
        description="Numbers to compute with; left out: bf16 from compute capability 8.0, fp16 below, fp32 on the CPU.",
    )
    deepspeed: Literal["none", "z0", "z2", "z2-offload", "z3", "z3-offload"] = Field(
        default="none",
        description="DeepSpeed ZeRO: z0 shards nothing, z2 optimizer states and gradients, z3 parameters too; "
        "offload moves the optimizer (z3: and parameters that are not quantized) to the host's memory.",
    )
    fsdp: Literal["none", "full", "full-offload"] = Field(
        default="none",
        description="PyTorch's FSDP in place of DeepSpeed: parameters, gradients and optimizer states sharded over "
        "the GPUs (FULL_SHARD); offload keeps them in the host's memory.",
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
    warmup_steps: int | None = Field(default=None, ge=1, description="Steps in which it rises, in place of a share.")
    save_steps: int = Field(
        default=500, ge=1, description="Steps between checkpoints; a job that died goes on from the last."
    )
    save_total_limit: int = Field(
        default=2,
        ge=2,
        description="Checkpoints kept, the newest ones. Two at least: when a crash spoils one, the other is whole.",
    )
    logging_steps: int = Field(default=10, ge=1, description="Steps between lines of the log.")
    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="Seed of all randomness.")
    flash_attn: Literal["auto", "disabled", "sdpa", "fa2"] = Field(
        default="auto", description="Attention kernels; `fa2` needs the package flash-attn in the image."
    )
    unsloth: bool = Field(default=False, description="Unsloth's kernels; the image needs the package unsloth.")
    liger: bool = Field(
        default=False, description="Liger's kernels, which need less memory; the image needs liger-kernel."
    )
    rope_scaling: Literal["linear", "dynamic", "yarn", "llama3"] | None = Field(
        default=None, description="Stretch the model's positions to `cutoff_len`, where that is beyond them."
    )
    swanlab: SwanLab | None = Field(default=None, description="Curves by SwanLab.")
    extra: Extra = Field(
        default={},
        description="Further arguments of LLaMA-Factory, by its own names, where this manifest has no key for them.",
    )
