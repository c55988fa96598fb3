"""What vLLM holds on one GPU: weights, and the KV cache in what `--gpu-memory-utilization` leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bundler.planning.shape import DecoderShape

BLOCK = 16  # tokens of a block of KV cache (vLLM's default on CUDA)
NON_TORCH = 1 << 30  # context, kernels, NCCL: an estimate, not measured here
BYTES = {  # of an element of a linear layer; embedding and lm_head keep the compute dtype
    None: 2.0,
    "fp8": 1.0,
    "awq": 0.5 + 2.5 / 128,  # groups of 128: an fp16 scale and a 4-bit zero
    "gptq": 0.5 + 2.5 / 128,
    "awq_marlin": 0.5 + 2.5 / 128,
    "gptq_marlin": 0.5 + 2.5 / 128,
    "bitsandbytes": 0.5 + 4 / 64,  # nf4 in blocks of 64, constants in fp32
    # Said of files alone, in their config.json: `bits: 8`, `load_in_8bit`
    "awq, 8 bits": 1 + 3 / 128,
    "gptq, 8 bits": 1 + 3 / 128,
    "bitsandbytes, 8 bits": 1.0,
}
FOUR_BITS = ("awq", "gptq", "bitsandbytes")
"""How a model's files may be quantized for its adapter to be trained as QLoRA's is, about as wide."""


@dataclass(frozen=True, slots=True)
class ServingSetting:
    """How vLLM is started. `max_model_len` None: the model's own. `batched_tokens`: tokens of one profile run.

    `stretched`: the model's positions are scaled, by flags or by the training.
    """

    tensor: int = 1
    pipeline: int = 1
    dtype_bytes: int = 2
    quantization: str | None = None
    kv_bytes: int = 2
    max_model_len: int | None = None
    max_num_seqs: int = 256
    utilization: float = 0.9
    batched_tokens: int = 8192
    stretched: bool = False


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """Bytes of one GPU; `kv_tokens` is what all requests at once may hold, and so the longest max_model_len.

    `peak_bytes` is the sum of the breakdown: what the server holds once it answers, or would need where it does not
    fit. `least_bytes` is what it needs to start and to take one request of the length that is wanted.
    """

    weights_bytes: int
    activation_bytes: int
    budget_bytes: int
    kv_cache_bytes: int
    kv_bytes_per_token: int
    kv_tokens: int
    max_model_len: int
    full_length_sequences: int
    fits: bool
    problems: tuple[str, ...]
    peak_bytes: int
    low_bytes: int
    high_bytes: int
    least_bytes: int
    breakdown: Mapping[str, int]


def kv_bytes_per_token(shape: DecoderShape, setting: ServingSetting) -> int:
    """Bytes of KV cache of one token on one GPU of the fullest stage.

    KV heads are split over tensor-parallel ranks, and replicated once there are more ranks than heads (vLLM,
    config.py, get_num_kv_heads).
    """
    heads = max(1, shape.kv_heads // setting.tensor)
    return 2 * -(-shape.layers // setting.pipeline) * heads * shape.head_dim * setting.kv_bytes


def parallel_problems(shape: DecoderShape, setting: ServingSetting) -> tuple[str, ...]:
    """What vLLM refuses of tensor and pipeline parallelism (config.py, verify_with_parallel_config; linear.py)."""
    tensor, found = setting.tensor, []
    if shape.heads % tensor:
        found.append(f"{shape.heads} attention heads can't be divided by tensor_parallel {tensor}")
    if max(tensor, shape.kv_heads) % min(tensor, shape.kv_heads):
        found.append(f"{shape.kv_heads} KV heads and tensor_parallel {tensor} do not divide")
    if shape.active_intermediate % tensor:
        found.append(f"the intermediate size can't be divided by tensor_parallel {tensor}")
    if setting.pipeline > shape.layers:
        found.append(f"{shape.layers} layers are fewer than pipeline_parallel {setting.pipeline}")
    return tuple(found)


def _length_problems(shape: DecoderShape, setting: ServingSetting) -> Iterator[str]:
    """vLLM refuses a length above the model's own (config.py, _get_and_verify_max_len)."""
    length, own = setting.max_model_len or 0, shape.max_positions
    if own and length > own and not (shape.stretched or setting.stretched):
        yield f"max_model_len {length} is above the model's own {own} (max_position_embeddings)"


def weights_bytes(shape: DecoderShape, setting: ServingSetting) -> int:
    """Weights on one GPU of the last stage, which has lm_head; with one stage it has the embedding too."""
    width = BYTES.get(setting.quantization) if setting.quantization else setting.dtype_bytes
    linear = shape.linear * (width or 2.0) / setting.tensor * -(-shape.layers // setting.pipeline) / shape.layers
    tables = 2 if setting.pipeline == 1 and not shape.tied else 1
    return round(linear + (shape.embedding * tables / setting.tensor + shape.other) * setting.dtype_bytes)


def activation_bytes(shape: DecoderShape, setting: ServingSetting) -> int:
    """One run of `batched_tokens`: gate and up in the compute dtype, the residual twice; logits of `max_num_seqs` in
    fp32. An estimate from the shape, not measured.
    """
    run = setting.batched_tokens * setting.dtype_bytes
    run *= 3 * shape.active_intermediate // setting.tensor + 4 * shape.hidden
    return run + setting.max_num_seqs * shape.vocab * 4


def serve_memory(shape: DecoderShape, setting: ServingSetting, gpu_bytes: int) -> ServingPlan:
    """Whether vLLM starts on GPUs of this memory, and what then fits.

    Weights, one profile run and what is outside torch are taken from the budget; the rest is KV cache.
    """
    weights, activation = weights_bytes(shape, setting), activation_bytes(shape, setting)
    budget = int(gpu_bytes * setting.utilization)
    cache = max(0, budget - weights - activation - NON_TORCH)
    tokens = cache // kv_bytes_per_token(shape, setting) // BLOCK * BLOCK
    wanted = setting.max_model_len or shape.max_positions
    problems = [*parallel_problems(shape, setting), *_length_problems(shape, setting)]
    if tokens < max(1, wanted):
        problems.append(f"the KV cache holds {tokens} tokens, fewer than a sequence of {wanted}")
    return serving_plan(shape, setting, budget, cache, tokens, tuple(problems), least_tokens=wanted)


def serving_plan(
    shape: DecoderShape,
    setting: ServingSetting,
    budget: int,
    cache: int,
    tokens: int,
    problems: tuple[str, ...],
    *,
    least_tokens: int,
) -> ServingPlan:
    """The account of a server whose cache is known, by vLLM's rule or another's. Without room for `least_tokens` it
    would not start, or not answer.

    The interval is a guess: half of what is estimated (the run, and what is outside torch) to both sides. Where there
    is a cache it gives way to what the estimates miss, so the low end is the peak itself; above it are CUDA graphs,
    captured after the cache was sized and counted nowhere.
    """
    weights, activation = weights_bytes(shape, setting), activation_bytes(shape, setting)
    per_token = kv_bytes_per_token(shape, setting)
    wanted = max(1, setting.max_model_len or shape.max_positions)
    peak, estimated = weights + activation + NON_TORCH + cache, activation + NON_TORCH
    return ServingPlan(
        weights,
        activation,
        budget,
        cache,
        per_token,
        tokens,
        min(tokens, shape.max_positions or tokens),
        tokens // wanted,
        not problems,
        problems,
        peak_bytes=peak,
        low_bytes=peak if cache else peak - estimated // 2,
        high_bytes=peak + estimated // 2,
        least_bytes=weights + estimated + max(1, least_tokens) * per_token,
        breakdown={"weights": weights, "activations": activation, "kv_cache": cache, "cuda_context": NON_TORCH},
    )
