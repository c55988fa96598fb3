"""Mistakes in arguments, as changes of the example manifest.

REFUSED: those that LLaMA-Factory 0.9.3's parser refuses, with words of its message. SILENT: those that it takes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bundler.manifest.findings import dotted
from bundler.manifest.rules import problems
from bundler.manifest.schema import Manifest
from scripts.world.trainer import LOCK
from tests.unit.manifest_cases import changed, write

ONE_GPU = {"target.count": 1, "serve.tensor_parallel": 1}
RANKED = {"datasets.pumps.ranking": True, "datasets.pumps.columns": {"chosen": "good", "rejected": "bad"}}
DPO = {"train.stage": "dpo", **RANKED}
RM = {"train.stage": "rm", "serve.model": "base", **RANKED}
KTO = {"train.stage": "kto", "datasets.pumps.columns": {"kto_tag": "label"}}
FULL = {"train.method": "full"}
NF4 = {"train.quantization": "nf4"}
Z3 = {"train.deepspeed": "z3"}
HELD = {"train.val_size": 0.1}


def extra(**arguments: Any) -> dict[str, Any]:
    return {"train.extra": arguments}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (extra(lora_rnk=8), "not used by the HfArgumentParser"),
    ({**FULL, **extra(adapter_name_or_path="/x")}, "Adapter is only valid for the LoRA"),
    ({**NF4, **extra(pissa_init=True)}, "PiSSA for a quantized model"),
    ({**NF4, **extra(resize_vocab=True)}, "Cannot resize embedding layers of a quantized model"),
    ({**NF4, **extra(adapter_name_or_path="/x", create_new_adapter=True)}, "new adapter upon a quantized model"),
    ({**NF4, **extra(adapter_name_or_path="/x,/y")}, "only accepts a single adapter"),
    ({**DPO, **extra(predict_with_generate=True)}, "cannot be set as True except SFT"),
    ({**DPO, "train.neat_packing": True}, "`neat_packing` cannot be set"),
    ({**KTO, "train.train_on_prompt": True}, "`train_on_prompt` or `mask_history`"),
    ({**RM, "train.mask_history": True}, "`train_on_prompt` or `mask_history`"),
    ({"train.mask_history": True, "train.train_on_prompt": True}, "incompatible with `train_on_prompt`"),
    (extra(do_predict=True), "enable `predict_with_generate`"),
    ({**RM, **HELD, **extra(load_best_model_at_end=True)}, "load_best_model_at_end"),
    (extra(streaming=True), "specify `max_steps` in streaming"),
    ({"train.max_steps": 5, **extra(streaming=True, max_samples=5)}, "incompatible with `streaming`"),
    ({"train.max_steps": 5, **HELD, **extra(streaming=True)}, "integer val size"),
    ({**HELD, **extra(eval_dataset="pumps")}, "Cannot specify `val_size` if `eval_dataset`"),
    ({**Z3, **extra(predict_with_generate=True)}, "incompatible with DeepSpeed ZeRO-3"),
    (extra(quantization_device_map="auto"), "device map for quantized models"),
    ({**Z3, **extra(pissa_init=True)}, "PiSSA in DeepSpeed ZeRO-3"),
    ({**DPO, **extra(pissa_init=True)}, "PiSSA for current training stage"),
    ({**KTO, **extra(pissa_init=True)}, "PiSSA for current training stage"),
    ({**FULL, **extra(use_galore=True, galore_layerwise=True)}, "layer-wise GaLore"),
    ({**FULL, **extra(use_apollo=True, apollo_layerwise=True)}, "layer-wise APOLLO"),
    ({**FULL, **extra(use_badam=True, badam_mode="ratio")}, "does not yet support distributed"),
    ({**FULL, **extra(use_badam=True)}, "only supports DeepSpeed ZeRO-3"),
    ({**FULL, "train.deepspeed": "z2", **extra(use_galore=True)}, "incompatible with DeepSpeed yet"),
    ({**FULL, "train.deepspeed": "z2", **extra(use_apollo=True)}, "incompatible with DeepSpeed yet"),
    (extra(use_galore=True), "Cannot use LoRA with GaLore"),
    ({**FULL, **extra(use_galore=True, use_apollo=True)}, "GaLore, APOLLO or BAdam together"),
    ({"train.unsloth": True, **Z3}, "Unsloth is incompatible with DeepSpeed ZeRO-3"),
    ({**NF4, **FULL, **extra(quantization_bit=4)}, "only compatible with the LoRA"),
    ({**DPO, "train.preference": {"loss": "ipo", "label_smoothing": 0.1}}, "only valid for sigmoid loss"),
    ({**FULL, **extra(use_llama_pro=True)}, "Freeze or LoRA training"),
    ({**FULL, **extra(loraplus_lr_ratio=16.0)}, "`loraplus_lr_ratio` is only valid"),
    ({**FULL, **extra(use_rslora=True)}, "`use_rslora` is only valid"),
    ({**FULL, **extra(use_dora=True)}, "`use_dora` is only valid"),
    ({**FULL, **extra(pissa_init=True)}, "`pissa_init` is only valid"),
    (extra(split_special_tokens=True), "slow tokenizers"),
    (extra(interleave_probs="0.5,0.5"), "interleaved mixing"),
    (extra(interleave_probs="0.5,0.5", mix_strategy="interleave_under"), "should be identical"),
    (extra(infer_backend="vllm"), "only available for API"),
    (extra(stage="ppo"), "`reward_model` is necessary"),
    (extra(use_adam_mini=True), "adam-mini"),
    (extra(mixture_of_depths="convert"), "mixture-of-depth"),
    (extra(ref_model_quantization_bit=3), "4-bit or 8-bit"),
    (extra(reward_model_quantization_bit=3), "4-bit or 8-bit"),
    (extra(image_max_pixels=1), "image_min_pixels"),
    (extra(video_max_pixels=1), "video_min_pixels"),
    (extra(export_quantization_bit=4), "Quantization dataset is necessary"),
    (extra(push_to_hub_model_id="x"), "Token is required"),
    (extra(optim="adamw8bit"), "is not a valid OptimizerNames"),
    (extra(logging_strategy="step"), "is not a valid IntervalStrategy"),
    (extra(hub_strategy="x"), "is not a valid HubStrategy"),
    (extra(debug="overflow"), "is not a valid DebugOption"),
    (extra(ddp_backend="x"), "is not avaliable"),
    (extra(accelerator_config={"split": True}), "unexpected keyword argument"),
    (extra(accelerator_config="accelerator.json"), "No such file"),
    (extra(dataloader_prefetch_factor=2), "dataloader_num_workers"),
    (extra(torch_empty_cache_steps=0), "bigger than 0"),
    ({"target.gpu": "T10", **extra(tf32=True)}, "Ampere"),
]

SILENT: list[dict[str, Any]] = [
    {**HELD, "train.eval_datasets": ["others"], "datasets.others": {"path": "others.json"}},
    {"train.lora": {"target": "q_proj,W_pack"}},
    {"train.method": "freeze", "train.freeze": {"modules": "self_atn"}},
    {"train.method": "freeze", "train.freeze": {"extra_modules": "wte"}},
    {"models.base": {"huggingface": "THUDM/glm-4-9b-chat"}, "train.template": "glm4", "train.train_on_prompt": True},
    extra(disable_shuffling="false"),  # any text is true
    extra(max_samples="10"),
    extra(media_dir="${HOME}/media"),
    extra(weight_decay="none"),
    extra(badam_mode="layers"),
    {"train.template": "qwen_3"},
    {"train.template": "llama3"},
    {"train.lora": {"target": "q_proj,v_porj"}},
    {"train.epochs": 1.0, "train.max_steps": 10},
    {"train.warmup_ratio": 0.1, "train.warmup_steps": 5},
    {"train.scheduler": "constant", "train.warmup_steps": 5},
    {"train.scheduler": "cosine_with_min_lr"},
    {"train.cutoff_len": 512, "train.rope_scaling": "yarn"},
    {"train.preference": {"beta": 0.2}},
    {**DPO, "train.packing": True},
    {"train.fsdp": "full", "train.deepspeed": "z3"},
    {"train.unsloth": True, "train.liger": True},
    {"train.unsloth": True, "train.method": "freeze"},
    {"train.stage": "pt"},  # of an answer nothing would be learned
    extra(report_to="wandb"),
    extra(ref_model="Qwen/Qwen3-8B"),
    extra(export_dir="/tmp/x"),
    extra(stage="SFT"),
    extra(flash_attn="flash_attention_2"),
    extra(quantization_method="bitsandbytes"),
    extra(do_train=False),
    extra(lora_rank="8"),
    extra(overwrite_output_dir=True),
    {"datasets.pumps.formatting": "openai"},
    {"datasets.pumps.ranking": True},
]


def unchecked(directory: Path, changes: dict[str, Any]) -> Manifest:
    """The manifest with these changes as the schema takes it, no rule asked."""
    document = changed(changes)
    write(directory, document)
    shutil.copy(LOCK, directory / LOCK.parent.name)
    return Manifest.model_validate(document, context={"directory": directory})


def told(given: Manifest, changes: dict[str, Any]) -> bool:
    """Whether a rule speaks of what was changed, and not of something else."""
    names = {name for name in changes if name != "train.extra"}
    names |= {f"train.extra.{name}" for name in changes.get("train.extra", {})}
    places = [place for one in problems(given) for place in (one.path, *one.concerns)]
    return any(dotted(place).startswith(name) for place in places for name in names)
