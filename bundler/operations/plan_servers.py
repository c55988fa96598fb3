"""What each server of a manifest takes of its GPUs, and what all of them take together.

A container that asks for N GPUs is given the first N (engine/dialect.py, engine/podman.py), so all servers share the
first one, and none has more company than there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.core.size import format_size
from bundler.manifest.names import TRAINED
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import LlamaFactoryApi, ModelService, SglangService, VllmService
from bundler.operations.plan_configs import read_config
from bundler.operations.plan_settings import api_setting, quantization, sglang_setting, vllm_setting
from bundler.planning import ServingPlan, serve_memory, serve_memory_sglang
from bundler.planning.evaluation_memory import EvaluationPlan, evaluate_memory
from bundler.planning.serving_memory import BYTES
from bundler.planning.shape import DecoderShape

PROMPT = 2048
"""Tokens of the one request that LLaMA-Factory's API is counted with: it truncates none."""
ANSWER = 1024
"""Tokens of its answer, where nothing says it (0.9.3, hparams/generating_args.py)."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """A server's prediction on each of its `gpus` GPUs. `beside` has the bytes that servers started before it take
    there; `takes` is what it takes itself. `problems` say why it would not start, or not answer.
    """

    kind: str
    per_gpu: ServingPlan | EvaluationPlan
    gpus: int
    takes: int
    beside: Mapping[str, int]
    problems: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether it starts, and answers."""
        return not self.problems

    @property
    def device_bytes(self) -> int:
        """What it is expected to hold of each GPU."""
        return self.per_gpu.peak_bytes if isinstance(self.per_gpu, ServingPlan) else self.per_gpu.device_bytes

    @property
    def least_bytes(self) -> int:
        """What each GPU needs for it to start and to answer."""
        if isinstance(self.per_gpu, ServingPlan):
            return self.per_gpu.least_bytes
        return self.per_gpu.low_bytes + self.per_gpu.outside_bytes


@dataclass(frozen=True, slots=True)
class _Served:
    """Which model a server has, and how its linear layers are quantized."""

    shape: DecoderShape
    method: str | None
    merged: bool


def plan_servers(
    manifest: Manifest, configs: Mapping[str, Path], gpu_bytes: int, why: dict[str, str]
) -> Mapping[str, ServerPlan]:
    """A plan for each server of a model, by the workload's name, in the order in which they start: what the ones
    before it take is not there for it. `why` gets those whose memory can't be counted. Raises ShapeUnknown.
    """
    found: dict[str, ServerPlan] = {}
    for path, service in manifest.services_of(ModelService):
        served = _served(manifest, service, configs)
        if isinstance(served, str):
            why[".".join(path)] = served
        else:
            beside = {name: one.takes for name, one in found.items()}
            found[path[-1]] = _planned(manifest, service, served, gpu_bytes, beside)
    return found


def _served(manifest: Manifest, service: ModelService, configs: Mapping[str, Path]) -> _Served | str:
    """Or why it is not counted."""
    merged = manifest.train is not None and service.model == TRAINED
    name = manifest.train.model if manifest.train and merged else service.model
    config = read_config(manifest, name, configs)
    if config.shape is None:
        return f"model {name}: {config.why}"
    method = quantization(service, None if merged else config.quantization)
    if isinstance(service, LlamaFactoryApi):
        bits = service.extra.get("quantization_bit")
        if method or bits not in (None, 4):
            return f"model {name}: its quantization {method or f'to {bits} bits'!r:.40} is not counted"
    elif method not in BYTES:
        return f"model {name}: its quantization {method!r:.40} is not counted"
    return _Served(config.shape, method, merged)


def _planned(
    manifest: Manifest, service: ModelService, served: _Served, gpu_bytes: int, beside: Mapping[str, int]
) -> ServerPlan:
    left = max(0, gpu_bytes - sum(beside.values()))
    if isinstance(service, VllmService):
        train = manifest.train
        stretched = bool(served.merged and train and train.rope_scaling)
        setting = vllm_setting(
            service, manifest.target, served.shape.max_positions, served.method, stretched=stretched
        )
        plan = serve_memory(served.shape, setting, gpu_bytes)
        if beside and plan.budget_bytes > left:
            said = (
                f"gpu_memory_utilization {service.gpu_memory_utilization:g} asks for {format_size(plan.budget_bytes)} "
                f"of a GPU that has {format_size(left)} left beside {', '.join(beside)}"
            )
            plan = replace(plan, fits=False, problems=(*plan.problems, said))
        gpus, takes = setting.tensor * setting.pipeline, max(plan.peak_bytes, plan.budget_bytes)
        return ServerPlan(service.kind, plan, gpus, takes, beside, plan.problems)
    if isinstance(service, SglangService):
        # its fraction is of what is free when it starts; its chunks are by the whole GPU
        plan = serve_memory_sglang(served.shape, sglang_setting(service, gpu_bytes, served.method), left)
        problems = tuple(f"{one} ({format_size(left)} are left beside {', '.join(beside)})" for one in plan.problems)
        plan = replace(plan, problems=problems) if beside else plan
        return ServerPlan(service.kind, plan, service.tensor_parallel, plan.peak_bytes, beside, plan.problems)
    assert isinstance(service, LlamaFactoryApi)
    api = evaluate_memory(served.shape, api_setting(service, PROMPT), 1, _answer(service))
    has = f"{format_size(left)} {_left(beside)}"
    short = f"it takes about {format_size(api.device_bytes)} of a GPU that has {has}"
    return ServerPlan(service.kind, api, 1, api.device_bytes, beside, () if api.fits(left) else (short,))


def _left(beside: Mapping[str, int]) -> str:
    return f"left beside {', '.join(beside)}" if beside else "in all"


def _answer(service: LlamaFactoryApi) -> int:
    said = service.extra.get("max_new_tokens")
    return said if type(said) is int and said > 0 else ANSWER


def shortages(servers: Mapping[str, ServerPlan]) -> Iterator[str]:
    """Which servers do not fit, and why."""
    for name, server in servers.items():
        if server.problems:
            yield from (f"{name} does not fit", *server.problems)
