"""SGLang: a model served over its OpenAI-compatible API (0.4.6.post5, srt/server_args.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.reasoning import sglang_parser
from bundler.workloads.paths import MODEL, OFFLINE, shared_memory
from bundler.workloads.vllm import compute_dtype, passed_through

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Target
    from bundler.manifest.serving import SglangService


def serve(name: str, service: SglangService, target: Target, model: str) -> Workload:
    """The service of this name. `model` is where its model is mounted from.

    `/health` answers once the model is loaded; SGLang asks itself a first question before that.
    """
    return Workload(
        name=name,
        kind=service.kind,
        image=service.image,
        command=("python3", "-m", "sglang.launch_server", "--model-path", MODEL, *_flags(service, target)),
        mounts=(Mount(model, MODEL),),
        environment={**OFFLINE, "DO_NOT_TRACK": "1"},
        gpus=service.tensor_parallel,
        port=service.port,
        bind=service.bind,
        health="/health",
        shm=shared_memory(gpus=service.tensor_parallel),
    )


def _flags(service: SglangService, target: Target) -> Iterator[str]:
    yield from ("--served-model-name", service.name)
    yield from ("--host", "0.0.0.0", "--port", str(service.port))  # inside the container; `bind` is the node's side
    if service.tensor_parallel > 1:
        yield from ("--tp-size", str(service.tensor_parallel))
    dtype = service.dtype or compute_dtype(target)
    if dtype:
        yield from ("--dtype", dtype)
    if service.context_length:
        yield from ("--context-length", str(service.context_length))
    if service.max_running_requests:
        yield from ("--max-running-requests", str(service.max_running_requests))
    yield from ("--mem-fraction-static", str(service.mem_fraction_static))
    if service.reasoning_parser:
        parser = sglang_parser(service.reasoning_parser, service.sglang) or service.reasoning_parser
        yield from ("--reasoning-parser", parser)
    for flag, value in service.extra.items():
        yield from passed_through(flag, value)
