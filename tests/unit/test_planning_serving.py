"""A server that does not start, or answers no long question, is found out behind the gap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_cases import manifest
from planning_cases import ANY_SHAPES, shape_of

from bundler.manifest.serving import SglangService, VllmService
from bundler.operations.plan_settings import quantization, sglang_setting, vllm_setting
from bundler.planning import (
    DecoderShape,
    ServingPlan,
    ServingSetting,
    serve_memory,
    serve_memory_sglang,
)
from bundler.planning.serving_memory import BYTES, NON_TORCH, kv_bytes_per_token
from bundler.planning.sglang_memory import chunk
from bundler.planning.vllm_defaults import scheduled

EIGHT = shape_of("qwen3-8b")
GIB = 2**30
SERVERS = (serve_memory, serve_memory_sglang)


@pytest.mark.parametrize("server", SERVERS)
def test_the_breakdown_of_a_server_adds_up_to_its_peak(server: object) -> None:
    plan = server(EIGHT, ServingSetting(max_model_len=8192), 48 * 10**9)  # type: ignore[operator]
    assert isinstance(plan, ServingPlan)
    assert set(plan.breakdown) == {"weights", "activations", "kv_cache", "cuda_context"}
    assert sum(plan.breakdown.values()) == plan.peak_bytes
    assert plan.low_bytes <= plan.peak_bytes <= plan.high_bytes


def test_vllm_fills_its_share_of_the_gpu_whatever_the_model() -> None:
    plan = serve_memory(EIGHT, ServingSetting(max_model_len=8192, utilization=0.8), 48 * 10**9)
    assert plan.peak_bytes == plan.budget_bytes == int(48e9 * 0.8)
    assert plan.least_bytes < plan.peak_bytes


def test_sglang_takes_its_fraction_of_what_is_free_once_its_context_is_there() -> None:
    """model_runner.py of 0.4.6.post5: cache = free after the weights - free before them x (1 - fraction)."""
    setting, gpu = ServingSetting(utilization=0.85, max_model_len=8192), 48 * 10**9
    plan = serve_memory_sglang(EIGHT, setting, gpu)
    before = gpu - NON_TORCH
    after = before - plan.weights_bytes
    rest = after - before * (1 - 0.85)
    assert plan.kv_tokens == int(rest // kv_bytes_per_token(EIGHT, setting))
    assert plan.fits


def test_sglang_that_has_no_room_for_the_weights_is_told_so() -> None:
    plan = serve_memory_sglang(EIGHT, ServingSetting(utilization=0.85), 16 * 10**9)
    assert not plan.fits
    assert "the weights leave no KV cache: 16.4 GB of 12.7 GB" in plan.problems


def test_sglang_that_can_t_take_the_length_that_is_asked_for_is_told_so() -> None:
    """Its model's own length is not asked for: it starts, and refuses longer requests."""
    asked = ServingSetting(utilization=0.85, max_model_len=40960)
    assert serve_memory_sglang(EIGHT, asked, 24 * 10**9).problems == (
        "the KV cache holds 21062 tokens, fewer than a request of 40960",
    )
    assert serve_memory_sglang(EIGHT, replace(asked, max_model_len=None), 24 * 10**9).fits


def test_a_fraction_that_leaves_no_room_for_a_run_is_a_problem() -> None:
    plan = serve_memory_sglang(EIGHT, ServingSetting(utilization=0.99), 48 * 10**9)
    assert len(plan.problems) == 1
    assert "mem_fraction_static leaves 469 MB for a run of 8192 tokens" in plan.problems[0]


def test_sglang_cuts_prefill_shorter_on_small_gpus() -> None:
    assert (chunk(24 * 10**9), chunk(48 * 10**9)) == (2048, 8192)


def test_a_tensor_parallel_size_that_sglang_asserts_against_is_named() -> None:
    shape = replace(EIGHT, heads=28, kv_heads=4)
    assert (
        "28 attention heads can't be divided by tensor_parallel 8"
        in serve_memory_sglang(shape, ServingSetting(tensor=8), 48 * 10**9).problems
    )


servings = st.builds(
    ServingSetting,
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.sampled_from([1, 2]),
    quantization=st.sampled_from(sorted(BYTES, key=str)),
    max_model_len=st.integers(1, 131_072) | st.none(),
    max_num_seqs=st.integers(1, 512),
    utilization=st.floats(0.3, 0.95),
)
gpus = st.integers(8, 160).map(lambda gib: gib * GIB)


@pytest.mark.parametrize("server", SERVERS)
@given(ANY_SHAPES, servings, gpus)
def test_a_server_never_takes_less_than_its_weights_and_less_cache_on_a_smaller_gpu(
    server: object, shape: DecoderShape, setting: ServingSetting, gpu: int
) -> None:
    plan = server(shape, setting, gpu)  # type: ignore[operator]
    assert plan.peak_bytes > plan.weights_bytes > 0
    assert plan.low_bytes <= plan.peak_bytes <= plan.high_bytes
    assert plan.least_bytes > plan.weights_bytes
    assert server(shape, setting, gpu - GIB).kv_tokens <= plan.kv_tokens  # type: ignore[operator]
    split = replace(setting, tensor=setting.tensor * 2)
    assert server(shape, split, gpu).weights_bytes < plan.weights_bytes  # type: ignore[operator]


@given(ANY_SHAPES, servings, gpus)
def test_vllm_that_fits_stays_in_its_share(shape: DecoderShape, setting: ServingSetting, gpu: int) -> None:
    plan = serve_memory(shape, setting, gpu)
    if plan.fits:
        assert plan.peak_bytes == plan.budget_bytes >= plan.least_bytes - 16 * plan.kv_bytes_per_token
    assert (plan.peak_bytes <= plan.budget_bytes) or not plan.kv_cache_bytes


@pytest.mark.parametrize(
    ("changes", "kv", "tokens", "method"),
    [
        ({"serve.extra": {"kv-cache-dtype": "fp8", "max-num-batched-tokens": 4096}}, 1, 4096, None),
        (
            {"serve.extra": {"kv_cache_dtype": "auto"}, "serve.model": "base", "serve.quantization": "awq"},
            2,
            2048,
            "awq",
        ),
    ],
)
def test_flags_that_change_memory_are_read_of_extra(
    changes: dict[str, object], kv: int, tokens: int, method: str | None, tmp_path: Path
) -> None:
    wanted = manifest(tmp_path, changes)
    service = wanted.serve
    assert isinstance(service, VllmService)
    setting = vllm_setting(service, wanted.target, 40960, quantization(service, None))
    assert (setting.kv_bytes, setting.batched_tokens, setting.quantization) == (kv, tokens, method)


@pytest.mark.parametrize(
    ("gpu_bytes", "length", "first", "tokens", "sequences"),
    [
        (80 * 10**9, 40960, False, 8192, 1024),
        (48 * 10**9, 40960, False, 2048, 256),
        (16 * 10**9, 8192, True, 8192, 256),  # a T10 runs a whole prompt at once
        (16 * 10**9, 1024, True, 2048, 256),
        (16 * 10**9, 40960, True, 2048, 256),
    ],
)
def test_what_vllm_runs_at_once_follows_the_gpu(
    gpu_bytes: int, length: int, first: bool, tokens: int, sequences: int
) -> None:
    """Four times the tokens in the profile run would say of an L20 that a context does not fit which does."""
    assert scheduled(gpu_bytes, length, first_engine=first) == (tokens, sequences)


def test_sglang_s_flags_are_read_of_extra(tmp_path: Path) -> None:
    extra = {"kv-cache-dtype": "fp8_e5m2", "quantization": "fp8", "chunked-prefill-size": 4096}
    serve = {
        "image": "serve",
        "sglang": "0.4.6.post5",
        "model": "base",
        "name": "b",
        "context_length": 99,
        "extra": extra,
    }
    service = manifest(tmp_path, {"serve": serve}).serve
    assert isinstance(service, SglangService)
    setting = sglang_setting(service, 48 * GIB, quantization(service, None))
    assert setting == ServingSetting(
        quantization="fp8", kv_bytes=1, max_model_len=99, max_num_seqs=160, utilization=0.85, batched_tokens=4096
    )
