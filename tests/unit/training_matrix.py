"""Trainings that differ in stage, method and distribution: what the golden files and LLaMA-Factory's parser see."""

from __future__ import annotations

from typing import Any

_RANKED = {"datasets.pumps.ranking": True, "datasets.pumps.columns": {"chosen": "good", "rejected": "bad"}}

MATRIX: dict[str, dict[str, Any]] = {
    "pt-full-fsdp": {
        "train.stage": "pt",
        "train.method": "full",
        "train.fsdp": "full",
        "train.cutoff_len": 65536,
        "train.rope_scaling": "yarn",
        "datasets.pumps.columns": {"prompt": "text", "query": None, "response": None},
    },
    "sft-lora-ddp": {
        "train.neat_packing": True,
        "train.mask_history": True,
        "train.val_size": 0.1,
        "train.eval_steps": 50,
        "train.liger": True,
        "train.swanlab": {"run_name": "first run", "workspace": "pumps"},
        "train.scheduler": "cosine_with_min_lr",
        "train.warmup_steps": 20,
        "train.extra": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    },
    "sft-lora-nf4-fsdp-offload": {
        "train.quantization": "nf4",
        "train.fsdp": "full-offload",
        "train.train_on_prompt": True,
        "train.packing": True,
    },
    "sft-lora-stretched-z0": {
        "train.deepspeed": "z0",
        "train.cutoff_len": 65536,
        "train.rope_scaling": "yarn",
        "train.unsloth": True,
    },
    "sft-full-z3-offload": {
        "train.method": "full",
        "train.deepspeed": "z3-offload",
        "train.eval_datasets": ["others"],
        "datasets.others": {"path": "others.json"},
    },
    "sft-freeze-z2": {
        "train.method": "freeze",
        "train.freeze": {"layers": 4, "extra_modules": "lm_head"},
        "train.deepspeed": "z2",
    },
    "rm-lora-z3": {
        "train.stage": "rm",
        "train.deepspeed": "z3",
        "serve.model": "base",
        "train.val_size": 100,
        **_RANKED,
    },
    "dpo-lora-z2-offload": {
        "train.stage": "dpo",
        "train.deepspeed": "z2-offload",
        "train.preference": {"beta": 0.2, "loss": "simpo", "simpo_gamma": 0.6},
        **_RANKED,
    },
    "dpo-lora-fsdp": {
        "train.stage": "dpo",
        "train.fsdp": "full",
        "train.preference": {"label_smoothing": 0.1},
        **_RANKED,
    },
    "kto-full-z3": {
        "train.stage": "kto",
        "train.method": "full",
        "train.deepspeed": "z3",
        "train.preference": {"rejected_weight": 1.3},
        "datasets.pumps.columns": {"kto_tag": "label"},
    },
}
"""A name, and what of the example manifest (manifest_cases) is changed."""
