"""Mistakes in arguments that LLaMA-Factory's parser refuses, or takes and misunderstands: refused at `lock`.

tests/integration/test_llamafactory_parser.py shows the same ones to the parser itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bundler.manifest.rules import problems
from tests.oracle.argument_mistakes import REFUSED, SILENT, told, unchecked

EVERY = [changes for changes, _ in REFUSED] + SILENT


@pytest.mark.parametrize("changes", EVERY, ids=str)
def test_a_mistake_is_told_at_the_place_where_it_was_made(changes: dict[str, Any], tmp_path: Path) -> None:
    assert told(unchecked(tmp_path, changes), changes)


def test_the_manifest_that_they_are_made_in_is_right(tmp_path: Path) -> None:
    assert not list(problems(unchecked(tmp_path, {})))


@pytest.mark.parametrize(
    "changes",
    [
        {"train.lora": {"target": "q_proj,v_proj"}},
        {"train.lora": {"target": "self_attn.q_proj,lm_head"}},
        {"models.base": {"huggingface": "baichuan-inc/Baichuan2-7B-Chat"}, "train.template": "baichuan2",
         "train.lora": {"target": "W_pack"}},
        {"models.base": {"huggingface": "acme/made-here"}, "train.template": "chatml"},
        *(
            {"models.base": {"huggingface": name}, "train.lora": {"target": "in_proj_qkv,gate"}}
            for name in ("Qwen/Qwen3.5-9B", "Qwen/Qwen3-30B-A3B", "acme/Qwen3-Next")
        ),
        {"train.extra": {"report_to": "none", "dataloader_num_workers": 2, "dataloader_prefetch_factor": 2}},
        {"train.extra": {"debug": "underflow_overflow", "ddp_backend": "nccl", "tf32": True}},
        {"train.extra": {"accelerator_config": {"split_batches": True}, "torch_empty_cache_steps": 4}},
        {"train.extra": {"image_max_pixels": 2048, "optim": "adamw_8bit"}},
        {"train.method": "freeze", "train.freeze": {"modules": "mlp", "extra_modules": "lm_head,norm"}},
        {"serve.extra": {"tokenizer": "/bundle/model", "generation-config": "vllm"}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_near_a_mistake_and_right_is_taken(changes: dict[str, Any], tmp_path: Path) -> None:
    assert not [str(one) for one in problems(unchecked(tmp_path, changes))]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.template": "qwen_3"}, "qwen3"),
        ({"train.template": "llama3"}, "Qwen/Qwen3-32B"),
        ({"train.lora": {"target": "q_proj,v_porj"}}, "v_proj"),
        ({"train.extra": {"optim": "adamw8bit"}}, "adamw_8bit"),
        ({"train.extra": {"accelerator_config": {"splt_batches": True}}}, "split_batches"),
        ({"serve.extra": {"tokenizer": "Qwen/Qwen3-32B"}}, "/bundle/model"),
        ({"serve.extra": {"speculative-config": {"model": "Qwen/Qwen3-0.6B"}}}, "no hub answers"),
        ({"train.extra": {"report_to": "swanlab"}}, "train.swanlab"),
    ],
    ids=str,
)
def test_a_mistake_says_what_to_write_in_its_place(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    told_ = " ".join(f"{one.expected} {one.because} {one.suggestion}" for one in problems(unchecked(tmp_path, changes)))
    assert words in told_
