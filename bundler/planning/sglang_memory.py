"""What SGLang holds on one GPU: weights and KV cache in `--mem-fraction-static` of what was free when it started.

Read from SGLang 0.4.6.post5: srt/model_executor/model_runner.py (init_torch_distributed, profile_max_num_token,
init_memory_pool), srt/server_args.py (chunked_prefill_size), srt/managers/tp_worker.py (max_req_len). By formula: no
SGLang was measured.
"""

from __future__ import annotations

from bundler.core.size import format_size
from bundler.planning.serving_memory import (
    NON_TORCH,
    ServingPlan,
    ServingSetting,
    activation_bytes,
    kv_bytes_per_token,
    parallel_problems,
    serving_plan,
    weights_bytes,
)
from bundler.planning.shape import DecoderShape

SMALL = 25_000 * 2**20
"""A GPU below this has its prefill cut into chunks of 2048 tokens, others of 8192 (server_args.py)."""

CAPTURED = 160
"""The largest batch that it captures a CUDA graph for (cuda_graph_runner.py, get_batch_sizes_to_capture): the requests
that a run is counted with, where the manifest names no number of them.
"""


def chunk(gpu_bytes: int) -> int:
    """Tokens of one prefill, where the manifest does not say it."""
    return 2048 if gpu_bytes < SMALL else 8192


def serve_memory_sglang(shape: DecoderShape, setting: ServingSetting, gpu_bytes: int) -> ServingPlan:
    """Whether SGLang starts on GPUs of this memory, and what then fits. `utilization` is its mem_fraction_static.

    `free` is read when context and NCCL are there and weights are not; the cache is what the weights leave of the
    fraction of it. It holds one token a page. The other part of `free` is for runs and CUDA graphs. SGLang ends only
    where nothing is left for a cache; it also starts where a request of `context_length` can't fit, and refuses such
    requests then, which is a problem where the manifest asks for that length.
    """
    free = gpu_bytes - NON_TORCH
    budget = int(free * setting.utilization)
    weights, activation = weights_bytes(shape, setting), activation_bytes(shape, setting)
    cache = max(0, budget - weights)
    tokens = cache // kv_bytes_per_token(shape, setting)
    problems = list(parallel_problems(shape, setting))
    if tokens < 1:
        problems.append(f"the weights leave no KV cache: {format_size(weights)} of {format_size(budget)}")
    elif setting.max_model_len and tokens < setting.max_model_len:
        problems.append(f"the KV cache holds {tokens} tokens, fewer than a request of {setting.max_model_len}")
    if activation > free - budget:
        problems.append(
            f"mem_fraction_static leaves {format_size(free - budget)} for a run of {setting.batched_tokens} tokens, "
            f"which takes about {format_size(activation)}"
        )
    return serving_plan(shape, setting, budget, cache, tokens, tuple(problems), least_tokens=setting.max_model_len or 1)
