"""What LLaMA-Factory refuses after the model has loaded, or misunderstands without a word: refused before the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, assert_refused, changed, findings, manifest, write

from bundler.manifest.loader import load

CPU: dict[str, Any] = {"target": REMOVED, "serve.tensor_parallel": 1}
ONE_GPU = {"target.count": 1, "serve.tensor_parallel": 1}
RANKED = {"datasets.pumps.ranking": True, "datasets.pumps.columns": {"chosen": "good", "rejected": "bad"}}
DPO = {"train.stage": "dpo", **RANKED}
KTO = {"train.stage": "kto", "datasets.pumps.columns": {"kto_tag": "label"}}
RM = {"train.stage": "rm", "serve.model": "base", **RANKED}
TEXT = {"prompt": "text", "query": None, "response": None}
PT = {"train.stage": "pt", "datasets.pumps.columns": TEXT}
FULL = {"train.method": "full"}


CLOUD = {"mode": "cloud", "host": "http://s:8000", "api_key_file": "/k"}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        # the settings of another stage or loss
        ({"train.preference": {"beta": 0.2}}, "train.preference.beta", "train.stage is sft"),
        ({**DPO, "train.preference": {"chosen_weight": 2.0}}, "train.preference.chosen_weight", "stage kto"),
        ({**KTO, "train.preference": {"loss": "ipo"}}, "train.preference.loss", "stage dpo"),
        (
            {**DPO, "train.preference": {"loss": "ipo", "label_smoothing": 0.1}},
            "train.preference.label_smoothing",
            "loss: sigmoid",
        ),
        ({**DPO, "train.preference": {"simpo_gamma": 0.5}}, "train.preference.simpo_gamma", "loss: simpo"),
        ({"train.freeze": {"layers": 2}}, "train.freeze", "the method is lora"),
        ({**FULL, "train.freeze": {"layers": 2}}, "train.freeze", "the method is full"),
        # samples
        ({**DPO, "train.packing": True}, "train.packing", "stage pt or sft"),
        ({**KTO, "train.neat_packing": True}, "train.neat_packing", "stage sft"),
        ({**PT, "train.mask_history": True}, "train.mask_history", "stage sft"),
        ({**RM, "train.train_on_prompt": True}, "train.train_on_prompt", "stage sft"),
        ({"train.mask_history": True, "train.train_on_prompt": True}, "train.train_on_prompt", "one of both"),
        ({"train.neat_packing": True, "train.packing": False}, "train.packing", "neat_packing"),
        # measuring
        ({"train.eval_datasets": ["pump"]}, "train.eval_datasets[0]", "did you mean 'pumps'"),
        ({"train.eval_datasets": ["pumps"]}, "train.eval_datasets[0]", "not trained on"),
        (
            {"datasets.more": {"path": "more.json"}, "train.eval_datasets": ["more"], "train.val_size": 0.1},
            "train.val_size",
            "one of them",
        ),
        (
            {"datasets.more": {"path": "more.json", "ranking": True}, "train.eval_datasets": ["more"]},
            "datasets.more.ranking",
            "train.stage is sft",
        ),
        ({"train.val_size": 1.5}, "train.val_size", "a share below 1"),
        ({"train.val_size": 1.0}, "train.val_size", "nothing would be left"),
        ({"train.eval_steps": 10}, "train.eval_steps", "nothing to measure on"),
        # reward models
        ({**RM, "serve.model": "train"}, "serve.model", "gives none"),
        ({**RM, "train.save_steps": 10}, "train.save_steps", "can't go on"),
        # pre-training
        ({"train.stage": "pt"}, "datasets.pumps.columns.response", "left out"),
        ({**PT, "datasets.pumps.formatting": "sharegpt"}, "datasets.pumps.formatting", "naming the text"),
        ({**PT, "datasets.pumps.ranking": True}, "datasets.pumps.ranking", "train.stage is pt"),
        # distribution and kernels
        ({"train.fsdp": "full", "train.deepspeed": "z3"}, "train.fsdp", "one of both"),
        ({**ONE_GPU, "train.fsdp": "full"}, "train.fsdp", "one GPU"),
        ({**CPU, "train.fsdp": "full-offload"}, "train.fsdp", "the target is the CPU"),
        ({**RM, "train.fsdp": "full"}, "train.fsdp", "deepspeed: z3"),
        ({"train.unsloth": True, "train.deepspeed": "z3"}, "train.unsloth", "deepspeed: z2"),
        ({"train.unsloth": True, "train.fsdp": "full"}, "train.unsloth", "shards the layers"),
        ({"train.unsloth": True, "train.method": "freeze"}, "train.unsloth", "method 'lora'"),
        ({"train.unsloth": True, "train.liger": True}, "train.liger", "one of"),
        ({**CPU, "train.liger": True}, "train.liger", "the target is the CPU"),
        ({"train.precision": "fp32", "train.flash_attn": "fa2"}, "train.flash_attn", "fp16 and bf16"),
        ({"train.rope_scaling": "yarn"}, "train.rope_scaling", "cutoff_len"),
        # schedules
        ({"train.scheduler": "cosine_with_min_lr"}, "train.scheduler", "min_lr_rate"),
        ({"train.scheduler": "warmup_stable_decay"}, "train.scheduler", "num_decay_steps"),
        ({"train.scheduler": "constant", "train.warmup_steps": 5}, "train.warmup_steps", "constant_with_warmup"),
        ({"train.warmup_ratio": 0.1, "train.warmup_steps": 5}, "train.warmup_ratio", "one of them"),
        ({"train.freeze": {"layers": 0}, "train.method": "freeze"}, "train.freeze.layers", "other than 0"),
        ({"train.save_total_limit": 1}, "train.save_total_limit", "2"),
        # SwanLab
        ({"train.swanlab": {"sdk": "0.6.0"}}, "train.swanlab.sdk", "swanlab sync"),
        ({"train.swanlab": {"sdk": "0.6.3", "server": "2.8.0"}}, "train.swanlab.sdk", "0.7.4 or newer"),
        ({"train.swanlab": {"sdk": "0.7.4", "server": "2.5"}}, "train.swanlab.sdk", "below 0.7.4"),
        ({"train.swanlab": {"sdk": "0.7.4", "server": "2.6.1"}}, "train.swanlab.server", "no SDK"),
        ({"train.swanlab": {"server": "2.8.0"}}, "train.swanlab.server", "'sdk' too"),
        ({"train.swanlab": {"mode": "local", "server": "2.5"}}, "train.swanlab.server", "mode: offline"),
        ({"train.swanlab": {"mode": "local", "sdk": "0.6.3"}}, "train.swanlab.sdk", "waits for ever"),
        ({"train.swanlab": {"mode": "cloud", "api_key_file": "/k"}}, "train.swanlab.mode", "'host' too"),
        ({"train.swanlab": {"mode": "cloud", "host": "http://s"}}, "train.swanlab.mode", "'api_key_file' too"),
        ({"train.swanlab": {"host": "http://s:8000"}}, "train.swanlab.host", "'mode: cloud' too"),
        ({"train.swanlab": {**CLOUD, "host": "https://s"}}, "train.swanlab.host", "no certificate has"),
        ({"train.swanlab": {**CLOUD, "host": "http://s/swanlab"}}, "train.swanlab.host", "http://NAME:PORT"),
        ({"train.swanlab": {**CLOUD, "host": "http://s:0"}}, "train.swanlab.host", "none of a network's"),
        ({"train.swanlab": {**CLOUD, "host": "http://a\\b:80"}}, "train.swanlab.host", "none of a network's"),
        ({"train.swanlab": {**CLOUD, "host": "http://localhost:80"}}, "train.swanlab.host", "loopback is its own"),
        ({"train.swanlab": {**CLOUD, "host": "http://[::1]:80"}}, "train.swanlab.host", "loopback is its own"),
        ({"train.swanlab": {**CLOUD, "host": "http://u:p@s"}}, "train.swanlab.host", "without user name"),
        ({"train.swanlab": {**CLOUD, "api_key_file": "key"}}, "train.swanlab.api_key_file", "whole path on the node"),
        # extra: types, which LLaMA-Factory does not look at
        ({"train.extra": {"disable_shuffling": "false"}}, "train.extra.disable_shuffling", "any text for true"),
        ({"train.extra": {"max_samples": "10"}}, "train.extra.max_samples", "without quotes"),
        ({"train.extra": {"media_dir": "${HOME}/x"}}, "train.extra.media_dir", "no variables"),
        # extra: combinations
        ({"train.extra": {"packing": True}}, "train.extra.packing", "train.packing"),
        ({"train.extra": {"fsdp": "full_shard"}}, "train.extra.fsdp", "train.fsdp"),
        ({"train.extra": {"use_galore": True}}, "train.extra.use_galore", "the method is lora"),
        ({**FULL, "train.deepspeed": "z2", "train.extra": {"use_apollo": True}}, "train.extra.use_apollo", "z2"),
        ({**FULL, "train.extra": {"use_badam": True}}, "train.extra.use_badam", "deepspeed: z3"),
        (
            {**ONE_GPU, **FULL, "train.deepspeed": "z2", "train.extra": {"use_badam": True}},
            "train.extra.use_badam",
            "deepspeed: z3",
        ),
        (
            {**FULL, "train.deepspeed": "z3", "train.extra": {"use_badam": True, "badam_mode": "ratio"}},
            "train.extra.badam_mode",
            "expected layer",
        ),
        ({**FULL, "train.extra": {"use_galore": True, "use_apollo": True}}, "train.extra.use_apollo", "alone"),
        (
            {**FULL, "train.extra": {"use_galore": True, "galore_layerwise": True}},
            "train.extra.galore_layerwise",
            "several GPUs",
        ),
        ({**FULL, "train.extra": {"use_dora": True}}, "train.extra.use_dora", "method 'lora'"),
        ({**FULL, "train.extra": {"use_llama_pro": True}}, "train.extra.use_llama_pro", "the method is full"),
        ({"train.quantization": "nf4", "train.extra": {"pissa_init": True}}, "train.extra.pissa_init", "nf4"),
        ({"train.deepspeed": "z3", "train.extra": {"pissa_init": True}}, "train.extra.pissa_init", "z2"),
        ({**DPO, "train.extra": {"pissa_init": True}}, "train.extra.pissa_init", "the model as it was"),
        ({"train.quantization": "nf4", "train.extra": {"resize_vocab": True}}, "train.extra.resize_vocab", "nf4"),
        (
            {"train.extra": {"quantization_device_map": "auto"}},
            "train.extra.quantization_device_map",
            "the devices that it is given",
        ),
        ({"train.extra": {"streaming": True}}, "train.extra.streaming", "max_steps"),
        (
            {"train.max_steps": 5, "train.extra": {"streaming": True, "max_samples": 10}},
            "train.extra.max_samples",
            "streaming",
        ),
        (
            {"train.max_steps": 5, "train.val_size": 0.1, "train.extra": {"streaming": True}},
            "train.extra.streaming",
            "a whole number",
        ),
        ({"train.extra": {"predict_with_generate": True}}, "train.extra.predict_with_generate", "predicts nothing"),
        ({"train.extra": {"load_best_model_at_end": True}}, "train.extra.load_best_model_at_end", "eval_datasets"),
        (
            {**RM, "train.val_size": 0.1, "train.extra": {"load_best_model_at_end": True}},
            "train.extra.load_best_model_at_end",
            "train.stage is rm",
        ),
        ({"train.extra": {"split_special_tokens": True}}, "train.extra.split_special_tokens", "use_fast_tokenizer"),
        ({"train.extra": {"interleave_probs": "0.5,0.5"}}, "train.extra.interleave_probs", "mix_strategy"),
    ],
)
def test_a_training_that_would_fail_behind_the_gap_is_refused_before_it(
    tmp_path: Path, changes: dict[str, Any], path: str, words: str
) -> None:
    assert_refused(tmp_path, changes, path, words)


@pytest.mark.parametrize(
    "changes",
    [
        {**DPO, "train.preference": {"beta": 0.2, "loss": "simpo", "simpo_gamma": 1.0, "ftx": 0.1}},
        {**DPO, "train.preference": {"label_smoothing": 0.1}},
        {**KTO, "train.preference": {"beta": 0.2, "rejected_weight": 2.0}},
        {**RM, "train.deepspeed": "z3", "train.val_size": 100},
        {**PT, "train.packing": False},
        {"train.neat_packing": True, "train.packing": True, "train.mask_history": True},
        {"train.fsdp": "full-offload", "train.quantization": "nf4"},
        {**FULL, "train.fsdp": "full", "train.liger": True},
        {**FULL, "train.extra": {"use_galore": True}},
        {**FULL, "train.deepspeed": "z3", "train.extra": {"use_badam": True}},
        {"train.method": "freeze", "train.freeze": {"layers": -2, "extra_modules": "lm_head"}},
        {"train.unsloth": True, "train.deepspeed": "z2"},
        {"train.cutoff_len": 65536, "train.rope_scaling": "yarn"},
        {
            "train.scheduler": "cosine_with_min_lr",
            "train.warmup_steps": 5,
            "train.extra": {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        },
        {"train.swanlab": {"sdk": "0.6.3", "server": "2.5", "run_name": "first"}},
        {"train.swanlab": {"sdk": "0.7.5", "server": "2.8.0"}},
        {"train.swanlab": {**CLOUD, "sdk": "0.6.0", "server": "2.0"}},
        {"train.extra": {"add_tokens": "5", "streaming": True}, "train.max_steps": 5, "train.val_size": 10},
        {
            "train.extra": {"interleave_probs": "0.5,0.5", "mix_strategy": "interleave_under"},
            "train.datasets": ["pumps", "more"],
            "datasets.more": {"path": "more.json"},
        },
    ],
)
def test_a_training_that_can_work_is_not_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    manifest(tmp_path, changes)


REQUIREMENTS = "llamafactory==0.9.3\ndeepspeed==0.16.9\nswanlab==0.6.3\n"


@pytest.mark.parametrize(
    ("changes", "path", "package"),
    [
        ({"train.liger": True}, "train.liger", "liger-kernel"),
        ({"train.unsloth": True}, "train.unsloth", "unsloth"),
        ({"train.flash_attn": "fa2"}, "train.flash_attn", "flash-attn"),
        ({"train.quantization": "nf4"}, "train.quantization", "bitsandbytes"),
        ({"train.swanlab": {"mode": "local"}}, "train.swanlab.mode", "swanboard"),
    ],
)
def test_a_package_that_the_image_lacks_is_missed_before_the_image_is_built(
    tmp_path: Path, changes: dict[str, Any], path: str, package: str
) -> None:
    place = write(tmp_path, changed(changes))
    manifest(tmp_path, changes)  # where nothing is known of the image, nothing is said
    (tmp_path / "cuda12.6-torch2.6" / "requirements.txt").write_text(REQUIREMENTS)
    (one,) = findings(place)
    assert (one.path, package in str(one)) == (path, True)
    (tmp_path / "cuda12.6-torch2.6" / "Dockerfile.j2").write_text(f"RUN pip install {package}==1.0\n")
    load(place)


def test_a_wheel_of_flash_attention_that_the_manifest_brings_is_enough(tmp_path: Path) -> None:
    changes = {
        "train.flash_attn": "fa2",
        "train.deepspeed": "z3",
        "images.train.files": {"flash-attn": "wheels"},
    }
    write(tmp_path, changed(changes))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.txt").write_text(REQUIREMENTS)
    manifest(tmp_path, changes)
