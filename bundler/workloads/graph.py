"""All that a manifest runs, in the order in which it runs: train, merge, serve, further services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bundler.manifest.lock import Question, Workload
from bundler.manifest.names import SERVE, TRAINED
from bundler.workloads import llamafactory, vllm

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Manifest
    from bundler.manifest.serving import VllmService


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
        if llamafactory.merges(job):
            yield llamafactory.merge(manifest, job)
    for path, service in manifest.all_services():
        yield vllm.serve(path[-1], service, manifest.target, _model(manifest, service))


def _model(manifest: Manifest, service: VllmService) -> str:
    if manifest.train and service.model == TRAINED:
        return llamafactory.result(manifest.train)
    return f"models/{service.model}"
