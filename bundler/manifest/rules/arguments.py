"""Arguments passed through to a program: none twice, no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bundler.manifest.findings import KeyPath, Problem, shown

_SECRET = re.compile(r"(^|[-_])(api[-_]?key|key|token|password|passwd|secret)$")


ARGUMENTS = {
    "model_name_or_path": "train.model",
    "trust_remote_code": "",
    "stage": "train.stage",
    "do_train": "",
    "finetuning_type": "train.method",
    "lora_rank": "train.lora.rank",
    "lora_alpha": "train.lora.alpha",
    "lora_dropout": "train.lora.dropout",
    "lora_target": "train.lora.target",
    "quantization_bit": "train.quantization",
    "quantization_method": "train.quantization",
    "quantization_type": "train.quantization",
    "double_quantization": "train.double_quantization",
    "dataset": "train.datasets",
    "dataset_dir": "datasets",
    "template": "train.template",
    "cutoff_len": "train.cutoff_len",
    "output_dir": "",
    "overwrite_output_dir": "",
    "resume_from_checkpoint": "",
    "per_device_train_batch_size": "train.batch_size",
    "gradient_accumulation_steps": "train.gradient_accumulation",
    "learning_rate": "train.learning_rate",
    "num_train_epochs": "train.epochs",
    "max_steps": "train.max_steps",
    "lr_scheduler_type": "train.scheduler",
    "warmup_ratio": "train.warmup_ratio",
    "save_steps": "train.save_steps",
    "logging_steps": "train.logging_steps",
    "seed": "train.seed",
    "bf16": "train.precision",
    "fp16": "train.precision",
    "pure_bf16": "train.precision",
    "flash_attn": "train.flash_attn",
    "deepspeed": "train.deepspeed",
    "fsdp": "train.fsdp",
    "fsdp_config": "train.fsdp",
    "use_cpu": "target",
    "freeze_trainable_layers": "train.freeze.layers",
    "freeze_trainable_modules": "train.freeze.modules",
    "freeze_extra_modules": "train.freeze.extra_modules",
    "pref_beta": "train.preference.beta",
    "pref_loss": "train.preference.loss",
    "pref_ftx": "train.preference.ftx",
    "dpo_label_smoothing": "train.preference.label_smoothing",
    "simpo_gamma": "train.preference.simpo_gamma",
    "kto_chosen_weight": "train.preference.chosen_weight",
    "kto_rejected_weight": "train.preference.rejected_weight",
    "packing": "train.packing",
    "neat_packing": "train.neat_packing",
    "mask_history": "train.mask_history",
    "train_on_prompt": "train.train_on_prompt",
    "val_size": "train.val_size",
    "eval_dataset": "train.eval_datasets",
    "do_eval": "train.val_size",
    "eval_strategy": "train.eval_steps",
    "evaluation_strategy": "train.eval_steps",
    "eval_steps": "train.eval_steps",
    "per_device_eval_batch_size": "train.eval_batch_size",
    "warmup_steps": "train.warmup_steps",
    "save_strategy": "train.save_steps",
    "save_total_limit": "train.save_total_limit",
    "use_unsloth": "train.unsloth",
    "enable_liger_kernel": "train.liger",
    "rope_scaling": "train.rope_scaling",
    "use_swanlab": "train.swanlab",
    "swanlab_mode": "train.swanlab.mode",
    "swanlab_logdir": "train.swanlab",
    "swanlab_project": "train.swanlab.project",
    "swanlab_workspace": "train.swanlab.workspace",
    "swanlab_run_name": "train.swanlab.run_name",
    "save_only_model": "",
    "save_on_each_node": "",
}
"""LLaMA-Factory's arguments that are not for `extra`: the key to use in its place, or none where it is not ours to set.

`overwrite_output_dir` would throw away the checkpoints that a job which died goes on from (LF 0.9.3, parser.py);
`save_only_model` would leave them without the optimizer.
"""

FLAGS = {
    "model": "model",
    "served_model_name": "name",
    "host": "bind",
    "port": "port",
    "tensor_parallel_size": "tensor_parallel",
    "pipeline_parallel_size": "pipeline_parallel",
    "dtype": "dtype",
    "quantization": "quantization",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_num_seqs",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "enable_reasoning": "reasoning_parser",
    "reasoning_parser": "reasoning_parser",
    "enforce_eager": "enforce_eager",
}
"""vLLM's flags that are not for `extra`, and the service's key to use in their place."""

SGLANG_FLAGS = {
    "model_path": "model",
    "served_model_name": "name",
    "host": "bind",
    "port": "port",
    "tp_size": "tensor_parallel",
    "tensor_parallel_size": "tensor_parallel",
    "dtype": "dtype",
    "context_length": "context_length",
    "max_running_requests": "max_running_requests",
    "mem_fraction_static": "mem_fraction_static",
    "reasoning_parser": "reasoning_parser",
}
"""SGLang's (0.4.6.post5, srt/server_args.py)."""

INFERENCE = {
    "model_name_or_path": "model",
    "adapter_name_or_path": "adapter",
    "template": "template",
    "trust_remote_code": "",
    "infer_backend": "",
}
"""LLaMA-Factory's arguments of its API."""


def repeated(path: KeyPath, names: Iterable[str], ours: Mapping[str, str]) -> Iterator[Problem]:
    """Arguments that the manifest has a key for (the value in `ours`), or that are not a manifest's to set (empty)."""
    for name in names:
        plain = name.lstrip("-").replace("-", "_")
        if plain in ours:
            expected = f"the key '{ours[plain]}' in its place" if ours[plain] else "nothing: the bundle sets it itself"
            yield Problem((*path, name), shown(name), expected, at_key=True)


def is_told(name: str, ours: Mapping[str, str]) -> bool:
    """Whether the name itself is refused by one of these rules: then its value is not looked at."""
    return name.lstrip("-").replace("-", "_") in ours or bool(_SECRET.search(name.lower()))


def secret(path: KeyPath, names: Iterable[str]) -> Iterator[Problem]:
    """Secrets: they would stand in the lock, in the store and in lists of processes."""
    for name in names:
        if _SECRET.search(name.lower()):
            because = "it would stand in the lock, and cross the gap with it"
            yield Problem((*path, name), "a secret", "none in a manifest", because, at_key=True)
