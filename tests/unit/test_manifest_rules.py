"""What can't work behind the gap, and is refused before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from manifest_cases import REMOVED, assert_refused, changed, findings, manifest, write

SERVICE = {"image": "serve", "vllm": "0.8.5.post1", "model": "base", "name": "other", "port": 8001}
STRETCHED = {"train.cutoff_len": 65536, "train.rope_scaling": "yarn"}
ADAPTER = {"serve.model": "base", "serve.adapter": "train"}
SGLANG = {
    "image": "serve",
    "sglang": "0.4.6.post5",
    "model": "base",
    "name": "other",
    "mem_fraction_static": 0.1,
}
API = {
    "image": "train",
    "llamafactory_api": "0.9.3",
    "model": "train",
    "name": "other",
    "template": "qwen3",
    "port": 8001,
}
CPU: dict[str, Any] = {"target": REMOVED, "serve.tensor_parallel": 1}
T10 = {"target.gpu": "T10"}
BLACKWELL = {
    "target.gpu": "RTX 5090",
    "images.train.dockerfile": "cuda12.8-torch2.7",
    "images.train.base": "pytorch/pytorch:2.7.0-cuda12.8-cudnn9-devel",
    "images.serve.registry": "vllm/vllm-openai:v0.9.2",
    "serve.vllm": "0.9.2",
}


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        # names
        ({"train.image": "trainer"}, "train.image", "did you mean 'train'"),
        ({"train.datasets": ["pumps", "pump"]}, "train.datasets[1]", "did you mean 'pumps'"),
        ({"serve.model": "bse"}, "serve.model", "one of base, train"),
        ({"train": REMOVED}, "serve.model", "there is no section 'train'"),
        ({"serve": REMOVED}, "ask", "a section 'serve' too"),
        ({"models.pumps": {"huggingface": "a/b"}}, "datasets.pumps", "told apart by name"),
        ({**CPU, "services": {"merge": SERVICE}}, "services.merge", "another one"),
        ({**CPU, "services": {"other": {**SERVICE, "port": 8000}}}, "services.other.port", "'serve' has it"),
        # target
        ({"target": {"count": 4}}, "target", "nothing says which"),
        ({"target.gpu": "RTX 4O90"}, "target.gpu", "did you mean 'RTX 4090'"),
        ({"target": {"gpu": "L20", "count": 0}, "serve.tensor_parallel": 1}, "target.gpu", "a count above 0"),
        ({"target.memory": "80GiB"}, "target.memory", "48.0 GB"),
        ({"target.capability": "8.0"}, "target.capability", "8.9, that of L20"),
        (
            {**BLACKWELL, "images.train.base": "pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel"},
            "images.train.base",
            "12.8",
        ),
        ({**BLACKWELL, "images.train.dockerfile": "cuda12.6-torch2.6"}, "images.train.dockerfile", "12.8"),
        (
            {"target.gpu": "V100", "images.train.base": "pytorch/pytorch:2.7.0-cuda12.8-cudnn9-devel"},
            "images.train.base",
            "CUDA 12.6 or older",
        ),
        # training
        ({**T10, "train.precision": "bf16"}, "train.precision", "expected fp16"),
        ({**CPU, "train.precision": "fp16"}, "train.precision", "fp32"),
        ({"train.quantization": "nf4", "train.method": "full"}, "train.quantization", "method 'lora'"),
        ({**CPU, "train.quantization": "nf4"}, "train.quantization", "needs a GPU"),
        ({**CPU, "train.deepspeed": "z3"}, "train.deepspeed", "the target is the CPU"),
        ({**T10, "train.flash_attn": "fa2"}, "train.flash_attn", "sdpa"),
        (
            {"train.deepspeed": "z3-offload", "images.train.base": "pytorch/pytorch:2.6.0-cuda12.6-cudnn9-runtime"},
            "images.train.base",
            "devel",
        ),
        ({"train.epochs": 1, "train.max_steps": 10}, "train.max_steps", "one of them"),
        ({"train.method": "full", "train.lora": {"rank": 8}}, "train.lora", "the method is full"),
        ({"train.double_quantization": True}, "train.double_quantization", "nf4"),
        ({"train.llamafactory": "0.9.2", "train.template": "qwen"}, "train.llamafactory", "0.9.3 or newer"),
        ({"train.template": "qwen3_nothink"}, "train.template", "came with 0.9.4"),
        ({"train.extra": {"lora_rank": 4}}, "train.extra.lora_rank", "the key 'train.lora.rank' in its place"),
        ({"train.extra": {"overwrite_output_dir": True}}, "train.extra.overwrite_output_dir", "sets it itself"),
        ({"train.extra": {"swanlab_api_key": "x"}}, "train.extra.swanlab_api_key", "a secret"),
        # adapters and services
        ({**ADAPTER, "train.method": "full"}, "serve.adapter", "method lora"),
        ({**ADAPTER, "models.other": {"huggingface": "a/b"}, "serve.model": "other"}, "serve.model", "expected 'base'"),
        (
            {
                **ADAPTER,
                "train.stage": "rm",
                "datasets.pumps.ranking": True,
                "datasets.pumps.columns": {"chosen": "a", "rejected": "b"},
            },
            "serve.adapter",
            "train.stage is rm",
        ),
        ({**ADAPTER, "train.lora": {"rank": 600}}, "serve.adapter", "rank 512 at most"),
        ({**ADAPTER, "train.extra": {"use_dora": True}}, "serve.adapter", "vLLM refuses DoRA"),
        ({**ADAPTER, "train.extra": {"additional_target": "embed_tokens"}}, "serve.adapter", "modules_to_save"),
        ({**ADAPTER, **STRETCHED}, "serve.adapter", "the merged model"),
        ({**ADAPTER, "serve.name": "base"}, "serve.name", "another name"),
        ({**ADAPTER, "serve.extra": {"max-lora-rank": 8}}, "serve.extra.max-lora-rank", "sets it"),
        ({"serve.api_key_file": "key"}, "serve.api_key_file", "whole path on the node"),
        ({"services.other": {**SGLANG, "port": 8000}}, "services.other.port", "'serve' has it"),
        ({"services.other": {**SGLANG, "tensor_parallel": 8}}, "services.other.tensor_parallel", "the target has 4"),
        ({"services.other": {**SGLANG, "reasoning_parser": "granite"}}, "services.other.reasoning_parser", "qwen3"),
        ({"services.other": {**SGLANG, "extra": {"api-key": "x"}}}, "services.other.extra.api-key", "a secret"),
        ({"services.other": {**SGLANG, "extra": {"log-requests": False}}}, "services.other.extra.log-requests", "no"),
        ({"services.other": {**SGLANG, "extra": {"tp-size": 2}}}, "services.other.extra.tp-size", "tensor_parallel"),
        ({"services.other": {**SGLANG, "mem_fraction_static": 0.5}}, "services.other.mem_fraction_static", "1.40"),
        ({**CPU, "services.other": SGLANG}, "services.other.sglang", "the target is the CPU"),
        (
            {"services.other": {"image": "serve", "easy_dataset": "1.6.0"}},
            "services.other.easy_dataset",
            "1.6.1 or newer",
        ),
        (
            {
                "train": REMOVED,
                "serve.model": "base",
                "services.other": {"image": "serve", "swanlab": "0.6.4"},
            },
            "services.other",
            "a section 'train' too",
        ),
        ({"services.other": {"image": "serve", "swanlab": "0.6.4"}}, "services.other", "{mode: local}"),
        (
            {"train.swanlab": {"mode": "local"}, "services.other": {"image": "serve", "swanlab": "0.6.3"}},
            "services.other.swanlab",
            "0.6.4 or newer",
        ),
        ({"services.other": {**API, "template": "qwen"}}, "services.other.template", "expected 'qwen3'"),
        (
            {"services.other": {**API, "extra": {"template": "x"}}},
            "services.other.extra.template",
            "the key 'template'",
        ),
        ({"services.other": {"image": "serve"}}, "services.other", "'easy_dataset:' or 'swanlab:'"),
        # datasets
        ({"datasets.pumps.formatting": "openai"}, "datasets.pumps.formatting", "came with 0.9.4"),
        (
            {"datasets.test": {"path": "test.json", "formatting": "openai"}, "evaluate": {"datasets": ["test"]}},
            "datasets.test.formatting",
            "came with 0.9.4",
        ),
        ({"datasets.pumps.ranking": True}, "datasets.pumps.ranking", "train.stage is sft"),
        ({"train.stage": "kto"}, "datasets.pumps.columns.kto_tag", "the name of a column"),
        (
            {
                "train.stage": "dpo",
                "datasets.pumps.ranking": True,
                "datasets.pumps.columns": {"chosen": "good"},
            },
            "datasets.pumps.columns.rejected",
            "the name of a column",
        ),
        # serving
        ({"serve.tensor_parallel": 8}, "serve.tensor_parallel", "the target has 4 GPUs"),
        ({"serve.pipeline_parallel": 2}, "serve.tensor_parallel", "4 x 2 = 8 GPUs"),
        ({"target": REMOVED}, "serve.tensor_parallel", "the target is the CPU"),
        ({"services": {"other": SERVICE}}, "services.other.gpu_memory_utilization", "1.80 over all services"),
        ({**T10, "serve.dtype": "bfloat16"}, "serve.dtype", "half"),
        ({**T10, "serve.quantization": "fp8"}, "serve.quantization", "needs compute capability 8.0"),
        ({"serve.quantization": "awq"}, "serve.quantization", "is not quantized"),
        ({"serve.reasoning_parser": "mistral"}, "serve.reasoning_parser", "deepseek_r1, granite"),
        ({"serve.vllm": "0.9.2"}, "serve.vllm", "expected 0.8.5.post1"),
        (
            {**BLACKWELL, "serve.vllm": "0.9.1", "images.serve.registry": "vllm/vllm-openai:v0.9.1"},
            "serve.vllm",
            "0.9.2 or newer",
        ),
        ({"serve.image": "train", "serve.vllm": "0.9.2"}, "serve.image", "an image of its own"),
        ({"serve.extra": {"max-model-len": 1}}, "serve.extra.max-model-len", "the key 'max_model_len'"),
        ({"serve.extra": {"api-key": "x"}}, "serve.extra.api-key", "a secret"),
        ({"serve.extra": {"enable-lora": None}}, "serve.extra.enable-lora", "true for a flag"),
    ],
)
def test_what_cannot_work_is_refused_before_the_gap(
    tmp_path: Path, changes: dict[str, Any], path: str, words: str
) -> None:
    assert_refused(tmp_path, changes, path, words)


@pytest.mark.parametrize(
    "changes",
    [
        CPU,
        {**CPU, "train.precision": "bf16"},
        T10 | {"train.precision": "fp16", "train.quantization": "nf4", "train.deepspeed": "z3-offload"},
        BLACKWELL,
        {"target": {"gpu": "Tomorrow", "count": 4, "memory": "96GiB", "capability": "13.0"}}
        | {"train": REMOVED}
        | {"images.train": REMOVED, "serve.model": "base", "serve.vllm": "0.9.2"}
        | {"images.serve.registry": "internal/vllm:ours"},
        {"target.memory": "48GiB", "target.capability": "8.9", "target.driver": "550.54.15"},
        {"serve.reasoning_parser": "qwen3"},
        {**ADAPTER, **STRETCHED, "serve.extra": {"rope-scaling": {"rope_type": "yarn", "factor": 2.0}}},
        {"train.stage": "kto", "datasets.pumps.columns": {"kto_tag": "label"}},
        {"train.extra": {"report_to": "tensorboard", "disable_shuffling": True, "max_samples": 10}},
        {"services": {"other": {**SERVICE, "gpu_memory_utilization": 0.2}}, "serve.gpu_memory_utilization": 0.7},
        {"train": REMOVED, "serve": REMOVED, "ask": REMOVED},
        {"images.serve.registry": "mirror.example/vllm/vllm-openai:v0.8.5.post1"},
    ],
)
def test_what_can_work_is_not_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    manifest(tmp_path, changes)


def test_a_model_named_train_would_be_taken_for_what_the_training_job_made(tmp_path: Path) -> None:
    reserved, _ = findings(write(tmp_path, changed({"models.train": {"huggingface": "a/b"}})))
    assert reserved.path == "models.train"
    assert "what the training job made" in reserved.because
