"""All that a manifest runs, in the order in which it runs: train, merge, serve, further services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bundler.manifest.lock import Question, Workload
from bundler.manifest.names import SERVE, TRAINED
from bundler.workloads import easy_dataset, llamaboard, llamafactory, llamafactory_api, sglang, swanlab, vllm

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Manifest
    from bundler.manifest.serving import Service


def workloads(manifest: Manifest) -> tuple[Workload, ...]:
    """Jobs and services of a manifest, each after those that it needs."""
    return tuple(_workloads(manifest))


def question(manifest: Manifest) -> Question | None:
    """What is asked once everything is up."""
    if not manifest.ask or not manifest.serve:
        return None
    return Question(SERVE, manifest.serve.name, manifest.ask.text, manifest.ask.max_tokens)


def _workloads(manifest: Manifest) -> Iterator[Workload]:
    job = manifest.train
    if job:
        yield llamafactory.train(manifest, job)
        if llamafactory.merges(job) and manifest.needs_merge:
            yield llamafactory.merge(manifest, job)
    for path, service in manifest.all_services():
        yield _service(manifest, path[-1], service)


def _service(manifest: Manifest, name: str, service: Service) -> Workload:
    from bundler.manifest.apps import EasyDataset, LlamaBoard, SwanlabBoard
    from bundler.manifest.serving import LlamaFactoryApi, SglangService, VllmService

    match service:
        case VllmService():
            rank = manifest.train.lora.rank if manifest.train and service.adapter else None
            return vllm.serve(name, service, manifest.target, _model(manifest, service.model), rank=rank)
        case SglangService():
            return sglang.serve(name, service, manifest.target, _model(manifest, service.model))
        case LlamaFactoryApi():
            return llamafactory_api.serve(name, service, manifest.target, _model(manifest, service.model))
        case LlamaBoard():
            return llamaboard.serve(name, service, manifest)
        case EasyDataset():
            return easy_dataset.serve(name, service)
        case SwanlabBoard():
            return swanlab.serve(name, service)
    raise TypeError(f"no workload is made of a {type(service).__name__}")


def _model(manifest: Manifest, model: str) -> str:
    if manifest.train and model == TRAINED:
        return llamafactory.result(manifest.train)
    return f"models/{model}"
