"""What vLLM 0.8.5 schedules at once where no flag says it (engine/arg_utils.py, _set_default_args_v0 and _v1).

It decides the profile run, and so what is left for the KV cache.
"""

from __future__ import annotations

LARGE_GPU = 70 * 2**30
_LARGE, _SMALL = (8192, 1024), (2048, 256)
_LONG_CONTEXT = 32768


def scheduled(gpu_bytes: int, length: int, *, first_engine: bool) -> tuple[int, int]:
    """Tokens of one run, and sequences, of a server on GPUs of this memory.

    `first_engine`: vLLM's V0, which GPUs below compute capability 8.0 get. It runs a whole prompt of `length` tokens
    (max_model_len), and cuts it only above 32768 (config.py, SchedulerConfig).
    """
    if not first_engine:
        return _LARGE if gpu_bytes >= LARGE_GPU else _SMALL
    tokens, sequences = _SMALL
    return (tokens if length > _LONG_CONTEXT else max(length, tokens)), sequences
