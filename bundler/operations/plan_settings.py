"""From the manifest's words to the terms of the predictions."""

from __future__ import annotations

from typing import Any

from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability, hardware
from bundler.manifest.schema import Target
from bundler.manifest.serving import LlamaFactoryApi, ModelService, SglangService, VllmService
from bundler.manifest.training import Train
from bundler.planning import ServingSetting, TrainingSetting
from bundler.planning.sglang_memory import CAPTURED, chunk
from bundler.planning.training_memory import is_measured as setting_is_measured
from bundler.planning.vllm_defaults import scheduled
from bundler.workloads.train_arguments import precision

_NO_REFERENCE = ("orpo", "simpo")
"""Losses of dpo that look at no other model (LF 0.9.3, hparams/finetuning_args.py, use_ref_model)."""

_TABLES = frozenset({"embed_tokens", "lm_head"})

_POSITIONS = ("rope_scaling", "rope_theta", "hf_overrides")
"""vLLM's flags in `extra` by which a model reaches further than its config says."""


def training_setting(train: Train, target: Target, files: str | None = None) -> TrainingSetting:
    """The manifest's words, and of `extra` those that change memory, in the terms of the prediction. `files`: how the
    model is quantized already; an adapter beside four bits is taken for QLoRA's.
    """
    extra = train.extra
    sharding = "fsdp" if train.fsdp != "none" else train.deepspeed.removesuffix("-offload")
    return TrainingSetting(
        method="qlora" if train.quantization == "nf4" or (files and train.method == "lora") else train.method,
        batch=train.batch_size,
        frozen_kept=False,
        tables=_tables(train),
        stage=train.stage,
        reference=train.stage == "kto" or (train.stage == "dpo" and train.preference.loss not in _NO_REFERENCE),
        cutoff_len=train.cutoff_len,
        rank=train.lora.rank,
        checkpointing=not extra.get("disable_gradient_checkpointing", False),
        liger=train.liger,
        dtype=precision(train, target),  # type: ignore[arg-type]
        pure=bool(extra.get("pure_bf16", False)),
        sharding=sharding,  # type: ignore[arg-type]
        offload="-offload" in f"{train.deepspeed}{train.fsdp}",
        freeze_layers=abs(train.freeze.layers),
        world=max(1, target.count),
    )


def _tables(train: Train) -> int:
    """Embedding and lm_head as far as `additional_target` names them: peft trains a copy of each beside the adapter,
    and LLaMA-Factory makes it fp32 (0.9.3, model/adapter.py, modules_to_save and cast_trainable_params_to_fp32).
    """
    if train.method != "lora":
        return 0
    said = train.extra.get("additional_target")
    if said is None and train.extra.get("resize_vocab"):
        return len(_TABLES)  # it names both itself
    names = said if isinstance(said, list) else str(said or "").split(",")
    return len(_TABLES & {str(name).strip() for name in names})


def is_measured(train: Train, setting: TrainingSetting) -> bool:
    """Whether the formulas were compared with GPUs for such a training (docs/memory.md)."""
    return not train.unsloth and setting_is_measured(setting)


def quantization(service: ModelService, files: str | None) -> str | None:
    """How the linear layers are quantized: as the manifest says, else as the model's `files` are by its config, which
    also knows the bits.
    """
    said: object = None
    if isinstance(service, VllmService):
        said = service.quantization
    elif isinstance(service, SglangService):
        said = _extra(service, "quantization")
    same = files and str(said).removesuffix("_marlin") == files.partition(",")[0]
    return files if same or not said else str(said)


def vllm_setting(
    service: VllmService, target: Target, positions: int, method: str | None = None, *, stretched: bool = False
) -> ServingSetting:
    """The manifest's words, with what `extra` says of the flags that change memory, in the terms of the prediction.
    `positions` is the model's own length, `method` one of BYTES: how the model is quantized. `stretched`: the training
    scaled the model's positions.
    """
    gpu = capability(target)
    tokens, sequences = scheduled(
        hardware(target).memory, service.max_model_len or positions, first_engine=bool(gpu and gpu < AMPERE)
    )
    return ServingSetting(
        tensor=service.tensor_parallel,
        pipeline=service.pipeline_parallel,
        dtype_bytes=4 if service.dtype == "float32" else 2,
        quantization=method,
        kv_bytes=_kv_bytes(service),
        max_model_len=service.max_model_len,
        max_num_seqs=service.max_num_seqs or sequences,
        utilization=service.gpu_memory_utilization,
        batched_tokens=_tokens(service, "max_num_batched_tokens") or tokens,
        stretched=stretched or any(name.lstrip("-").replace("-", "_") in _POSITIONS for name in service.extra),
    )


def sglang_setting(service: SglangService, gpu_bytes: int, method: str | None = None) -> ServingSetting:
    """The same for SGLang."""
    return ServingSetting(
        tensor=service.tensor_parallel,
        dtype_bytes=4 if service.dtype == "float32" else 2,
        quantization=method,
        kv_bytes=_kv_bytes(service),
        max_model_len=service.context_length,
        max_num_seqs=service.max_running_requests or CAPTURED,
        utilization=service.mem_fraction_static,
        batched_tokens=_tokens(service, "chunked_prefill_size") or chunk(gpu_bytes),
    )


def api_setting(service: LlamaFactoryApi, prompt: int) -> TrainingSetting:
    """The same for LLaMA-Factory's API, which holds the whole model as an evaluation does, on one GPU, and answers one
    request at a time (0.9.3, chat/hf_engine.py, MAX_CONCURRENT). It computes in 16 bits unless it is told otherwise
    (extras/misc.py, infer_optim_dtype).
    """
    return TrainingSetting(
        method="qlora" if service.extra.get("quantization_bit") == 4 else "full",
        cutoff_len=prompt,
        dtype="fp32" if service.extra.get("infer_dtype") == "float32" else "bf16",
    )


def _kv_bytes(service: VllmService | SglangService) -> int:
    """Both have fp8 caches, by the same flag."""
    return 1 if str(_extra(service, "kv_cache_dtype")).startswith("fp8") else 2


def _tokens(service: VllmService | SglangService, key: str) -> int | None:
    stated = _extra(service, key)
    return stated if type(stated) is int and stated > 0 else None


def _extra(service: VllmService | SglangService, key: str) -> Any:
    """A flag of `extra`, which a person may write with `-` or `_`."""
    return service.extra.get(key, service.extra.get(key.replace("_", "-")))
