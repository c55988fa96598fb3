"""vLLM: a model served over its OpenAI-compatible API, with the flags of the version in the image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.lock import Mount, Workload
from bundler.manifest.lora import LORA_RANKS
from bundler.manifest.names import TRAIN
from bundler.manifest.reasoning import ENABLED_BY_PARSER, parser_for
from bundler.workloads.api_key import behind_key
from bundler.workloads.paths import ADAPTER, MODEL, OFFLINE, shared_memory

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Target
    from bundler.manifest.serving import VllmService

_NO_TELEMETRY = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
_CPU_KV_CACHE = {"VLLM_CPU_KVCACHE_SPACE": "1"}
"""GiB of the host's memory for the KV cache: bounded, whatever a version of vLLM takes by itself."""


def serve(name: str, service: VllmService, target: Target, model: str, *, rank: int | None = None) -> Workload:
    """The service of this name. `model` is where its model is mounted from: `models/NAME` or `results/JOB`.

    `rank` is that of the adapter, where it serves one.
    """
    environment = {**OFFLINE, **_NO_TELEMETRY}
    gpus = service.tensor_parallel * service.pipeline_parallel if target.count else 0
    command = ("vllm", "serve", MODEL, *_flags(service, target, rank))
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=behind_key(command, "VLLM_API_KEY") if service.api_key_file else command,
        mounts=(Mount(model, MODEL), *((Mount(f"results/{TRAIN}", ADAPTER),) if service.adapter else ())),
        environment=environment if gpus else {**environment, **_CPU_KV_CACHE},
        gpus=gpus,
        port=service.port,
        bind=service.bind,
        health="/health",
        shm=shared_memory(gpus=gpus),
        api_key=service.api_key_file or "",
    )


def _flags(service: VllmService, target: Target, rank: int | None) -> Iterator[str]:
    yield from ("--served-model-name", service.model if service.adapter else service.name)
    yield from ("--host", "0.0.0.0", "--port", str(service.port))  # inside the container; `bind` is the node's side
    if service.tensor_parallel > 1:
        yield from ("--tensor-parallel-size", str(service.tensor_parallel))
    if service.pipeline_parallel > 1:
        yield from ("--pipeline-parallel-size", str(service.pipeline_parallel))
    dtype = service.dtype or compute_dtype(target)
    if dtype:
        yield from ("--dtype", dtype)
    if service.quantization:
        yield from ("--quantization", service.quantization)
    if service.max_model_len:
        yield from ("--max-model-len", str(service.max_model_len))
    if service.max_num_seqs:
        yield from ("--max-num-seqs", str(service.max_num_seqs))
    if target.count:
        yield from ("--gpu-memory-utilization", str(service.gpu_memory_utilization))
    if service.adapter:
        yield from ("--enable-lora", "--lora-modules", f"{service.name}={ADAPTER}")
        yield from ("--max-lora-rank", str(lora_rank(rank or LORA_RANKS[0])))
    yield from _reasoning(service)
    if service.enforce_eager:
        yield "--enforce-eager"
    for flag, value in service.extra.items():
        yield from passed_through(flag, value)


def lora_rank(rank: int) -> int:
    """The rank to make room for: vLLM takes some numbers only (0.8.5, config.py, LoRAConfig)."""
    return next(allowed for allowed in LORA_RANKS if allowed >= rank)


def compute_dtype(target: Target) -> str | None:
    """`half` where the GPU has no bfloat16: with `auto`, vLLM takes the model's bfloat16 and raises (vllm#1157)."""
    gpu = capability(target)
    return "half" if gpu and gpu < AMPERE else None


def _reasoning(service: VllmService) -> Iterator[str]:
    if not service.reasoning_parser:
        return
    if service.vllm < ENABLED_BY_PARSER:
        yield "--enable-reasoning"
    yield from ("--reasoning-parser", parser_for(service.reasoning_parser, service.vllm) or service.reasoning_parser)


def passed_through(flag: str, value: Any) -> Iterator[str]:
    """A flag of `extra`, as argparse reads it."""
    name = flag.lstrip("-").replace("_", "-")
    if value is False:
        yield f"--no-{name}"
        return
    yield f"--{name}"
    if isinstance(value, list):
        yield from map(_argument, value)
    elif value is not True:
        yield _argument(value)


def _argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
