"""Advice that does not fit, or a service that does not start, is found out behind the gap."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planning_cases import shape_of

from bundler.planning import ServingSetting, TrainingSetting, advise, serve_memory, train_memory, verdict
from bundler.planning.serving_memory import kv_bytes_per_token, parallel_problems

GIB = 2**30


@pytest.mark.parametrize(("name", "kib"), [("qwen3-8b", 144), ("qwen3-14b", 160), ("qwen3-32b", 256)])
def test_a_token_of_kv_cache_is_counted_exactly(name: str, kib: int) -> None:
    assert kv_bytes_per_token(shape_of(name), ServingSetting()) == kib * 1024


def test_kv_heads_are_replicated_when_there_are_more_gpus_than_heads() -> None:
    shape = shape_of("qwen2.5-7b")
    four, eight = (kv_bytes_per_token(shape, ServingSetting(tensor=tensor)) for tensor in (4, 8))
    assert four == eight


def test_a_tensor_parallel_size_that_vllm_refuses_is_named_before_the_gap() -> None:
    assert parallel_problems(shape_of("qwen2.5-7b"), ServingSetting(tensor=8)) == (
        "28 attention heads can't be divided by tensor_parallel 8",
    )


def test_a_32b_does_not_fit_one_gpu_of_24_gib_and_fits_four_of_40() -> None:
    shape = shape_of("qwen3-32b")
    assert not serve_memory(shape, ServingSetting(max_model_len=8192), 24 * GIB).fits
    assert serve_memory(shape, ServingSetting(tensor=4, max_model_len=8192), 40 * GIB).fits


def test_a_quantized_model_leaves_more_cache() -> None:
    shape, plain = shape_of("qwen3-8b"), ServingSetting(max_model_len=4096)
    quantized = serve_memory(shape, replace(plain, quantization="awq"), 24 * GIB)
    assert quantized.kv_tokens > serve_memory(shape, plain, 24 * GIB).kv_tokens


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("gpus", [1, 2])
def test_each_piece_of_advice_fits_and_the_cheapest_is_first(method: str, gpus: int) -> None:
    shape = shape_of("qwen3-8b")
    setting = TrainingSetting(method, batch=8, cutoff_len=4096, checkpointing=False, world=gpus)  # type: ignore[arg-type]
    advice = advise(shape, setting, 24 * GIB)
    assert advice
    assert [one.cost for one in advice] == sorted(one.cost for one in advice)
    assert all(verdict(train_memory(shape, one.setting), 24 * GIB) == "fits" for one in advice)


def test_what_fits_needs_no_advice() -> None:
    assert advise(shape_of("qwen3-0.6b"), TrainingSetting(), 80 * GIB) == ()
