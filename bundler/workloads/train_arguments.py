"""LLaMA-Factory's arguments for a training job: what stands in train.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.version import Version
from bundler.workloads.container import CONFIG, OUTPUT
from bundler.workloads.paths import MODEL

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Target
    from bundler.manifest.training import Train

_BNB_SINCE = Version("0.9.3")
"""The value was `bitsandbytes` before; a wrong one is not an error, the model is then not quantized at all."""

_DDP_TIMEOUT = 180_000_000
"""Seconds. The other ranks wait while the first one tokenizes; NCCL's half hour is too short for large data."""


def arguments(job: Train, target: Target) -> dict[str, Any]:
    """The members of train.yaml, in its order. What `extra` says comes last."""
    numbers = precision(job, target)
    return {
        "model_name_or_path": MODEL,
        "trust_remote_code": False,
        "stage": job.stage,
        "do_train": True,
        "finetuning_type": job.method,
        **_method(job),
        **_preference(job),
        "dataset": ",".join(dict.fromkeys(job.datasets)),
        "dataset_dir": CONFIG,
        "template": job.template,
        "cutoff_len": job.cutoff_len,
        **_samples(job),
        "output_dir": OUTPUT,  # without overwrite_output_dir: a job that died goes on from its last checkpoint
        **_checkpoints(job),
        "logging_steps": job.logging_steps,
        "per_device_train_batch_size": job.batch_size,
        "gradient_accumulation_steps": job.gradient_accumulation,
        **_evaluation(job),
        "learning_rate": job.learning_rate,
        **({"max_steps": job.max_steps} if job.max_steps else {"num_train_epochs": job.epochs or 3.0}),
        "lr_scheduler_type": job.scheduler,
        **({"warmup_ratio": job.warmup_ratio} if job.warmup_ratio else {}),  # deprecated in transformers 5
        **({"warmup_steps": job.warmup_steps} if job.warmup_steps else {}),
        "seed": job.seed,
        "bf16": numbers == "bf16",
        "fp16": numbers == "fp16",
        **_kernels(job),
        **({"deepspeed": f"{CONFIG}/deepspeed.json"} if job.deepspeed != "none" else {}),
        **({} if target.count else {"use_cpu": True}),
        **_swanlab(job),
        **_defaults(job, target),
        **job.extra,
    }


def precision(job: Train, target: Target) -> str:
    """The numbers to compute with: those asked for, else the best that the target has."""
    if job.precision:
        return job.precision
    if not target.count:
        return "fp32"
    gpu = capability(target)
    return "fp16" if gpu and gpu < AMPERE else "bf16"


def quantization(job: Train) -> dict[str, Any]:
    """How the frozen weights are held: in training, and where its adapter is asked over them."""
    if job.quantization != "nf4":
        return {}
    return {
        "quantization_bit": 4,
        "quantization_method": "bnb" if job.llamafactory >= _BNB_SINCE else "bitsandbytes",
        "quantization_type": "nf4",
        "double_quantization": job.double_quantization,
    }


def distributed(job: Train, target: Target) -> bool:
    """Whether it runs in several processes; DeepSpeed wants that with one GPU too (LF 0.9.3, hparams/parser.py)."""
    return target.count > 1 or job.deepspeed != "none"


def _method(job: Train) -> dict[str, Any]:
    if job.method == "freeze":
        more = {"freeze_extra_modules": job.freeze.extra_modules} if job.freeze.extra_modules else {}
        return {
            "freeze_trainable_layers": job.freeze.layers,
            "freeze_trainable_modules": job.freeze.modules,
            **more,
        }
    if job.method == "full":
        return {}
    lora: dict[str, Any] = {
        "lora_rank": job.lora.rank,
        "lora_alpha": job.lora.alpha or 2 * job.lora.rank,
        "lora_dropout": job.lora.dropout,
        "lora_target": job.lora.target,
    }
    return lora | quantization(job)


def _preference(job: Train) -> dict[str, Any]:
    """LF 0.9.3, hparams/finetuning_args.py, RLHFArguments: each stage's own, spelled out."""
    wish = job.preference
    if job.stage == "kto":
        return {
            "pref_beta": wish.beta,
            "pref_ftx": wish.ftx,
            "kto_chosen_weight": wish.chosen_weight,
            "kto_rejected_weight": wish.rejected_weight,
        }
    if job.stage != "dpo":
        return {}
    dpo: dict[str, Any] = {"pref_beta": wish.beta, "pref_loss": wish.loss, "pref_ftx": wish.ftx}
    if wish.label_smoothing:
        dpo["dpo_label_smoothing"] = wish.label_smoothing
    if wish.loss == "simpo":
        dpo["simpo_gamma"] = wish.simpo_gamma
    return dpo


def _samples(job: Train) -> dict[str, Any]:
    samples: dict[str, Any] = {}
    if job.packing is not None:
        samples["packing"] = job.packing
    for name in ("neat_packing", "mask_history", "train_on_prompt"):
        if getattr(job, name):
            samples[name] = True
    return samples


def _checkpoints(job: Train) -> dict[str, Any]:
    """A reward model leaves none, and starts over.

    LLaMA-Factory does not go on from those of freeze and full, and of LoRA only when the YAML names the checkpoint as
    the adapter (LF 0.9.3, hparams/parser.py), which no YAML that was rendered before the gap can.
    """
    if job.stage == "rm":
        return {"save_strategy": "no"}
    return {"save_steps": job.save_steps, "save_total_limit": job.save_total_limit}


def _evaluation(job: Train) -> dict[str, Any]:
    """Samples that are held back are measured on only when a strategy says so (transformers, TrainingArguments)."""
    if job.val_size is None and not job.eval_datasets:
        return {}
    names = dict.fromkeys(job.eval_datasets or ())
    held = {"eval_dataset": ",".join(names)} if names else {"val_size": job.val_size}
    return {
        **held,
        "eval_strategy": "steps",
        "eval_steps": job.eval_steps or job.save_steps,
        "per_device_eval_batch_size": job.eval_batch_size,
    }


def _kernels(job: Train) -> dict[str, Any]:
    kernels: dict[str, Any] = {"flash_attn": job.flash_attn}
    if job.unsloth:
        kernels["use_unsloth"] = True
    if job.liger:
        kernels["enable_liger_kernel"] = True
    if job.rope_scaling:
        kernels["rope_scaling"] = job.rope_scaling
    return kernels


def _swanlab(job: Train) -> dict[str, Any]:
    """`cloud` is LLaMA-Factory's default, and would ask for a key (LF 0.9.3, hparams/finetuning_args.py)."""
    if not job.swanlab:
        return {}
    names = {"swanlab_workspace": job.swanlab.workspace, "swanlab_run_name": job.swanlab.run_name}
    return {
        "use_swanlab": True,
        "swanlab_mode": job.swanlab.mode,
        "swanlab_logdir": f"{OUTPUT}/swanlog",
        "swanlab_project": job.swanlab.project,
        **{name: value for name, value in names.items() if value},
    }


def _defaults(job: Train, target: Target) -> dict[str, Any]:
    """What the manifest has no key for, and `extra` may set in another way."""
    defaults: dict[str, Any] = {"plot_loss": True, "report_to": "none"}
    if distributed(job, target):
        defaults["ddp_timeout"] = _DDP_TIMEOUT
    return defaults
