"""Refuses what does not fit the GPUs before any weights are fetched or images built, and predicts what is taken."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bundler.core.errors import CheckRefused
from bundler.core.events import Events, Warned
from bundler.core.size import format_size
from bundler.manifest.lock import GpuMemory, LockedFiles
from bundler.manifest.names import TRAIN
from bundler.manifest.schema import Manifest
from bundler.operations.plan import PlanResult, plan
from bundler.operations.plan_pinned import configs_of
from bundler.operations.plan_servers import shortages
from bundler.planning.shape import ShapeUnknown
from bundler.store.layout import Store

CHECK = "memory"
"""The name by which `--accept` lets pass what does not fit."""


def require_fit(
    manifest: Manifest,
    path: Path,
    models: Sequence[LockedFiles],
    store: Store,
    events: Events,
    accepted: Sequence[str],
) -> tuple[GpuMemory, ...]:
    """Plan with each model's config.json, before any weights are fetched or images built. Returns what the lock says
    of it, for the checks of the node.

    Raises DoesNotFit, unless `memory` is accepted. A model whose shape is not known is told and not judged.
    """
    configs = configs_of(tuple(models), store)
    try:
        result = plan(manifest, configs, {})
    except ShapeUnknown as unknown:
        events.emit(Warned(f"the memory of the GPUs is not planned: {unknown}"))
        return ()
    for why in dict.fromkeys(result.not_planned.values()):
        events.emit(Warned(f"the memory of the GPUs is not planned: {why}"))
    if result.train and result.train.verdict == "tight":
        size = format_size(result.train.per_gpu.device_bytes)
        events.emit(Warned(f"the training may not fit: it takes about {size} of {format_size(result.gpu_bytes)}"))
    if not result.fits and CHECK not in accepted:
        raise DoesNotFit(path, configs, result)
    return tuple(predictions(result))


def predictions(result: PlanResult) -> Iterator[GpuMemory]:
    """What the plan predicts of each workload, in the lock's words.

    The least that a training takes is the low end of its interval, with what lies outside of torch; a service's, what
    it needs to start and to answer.
    """
    if result.train:
        memory = result.train.per_gpu
        outside = memory.breakdown["cuda_context"] + memory.breakdown["nccl"]
        yield GpuMemory(
            TRAIN,
            device_bytes=memory.device_bytes,
            least_bytes=memory.low_bytes + outside,
            host_bytes=memory.host_bytes * result.gpus,
            basis="measured" if result.train.measured else "formula",
        )
    for name, server in result.servers.items():
        yield GpuMemory(name, server.device_bytes, server.least_bytes, 0, "formula")


class DoesNotFit(CheckRefused):
    """The training or a service needs more memory than the GPUs have. No lock says where the configs are yet."""

    def __init__(self, path: Path, configs: Mapping[str, Path], result: PlanResult) -> None:
        lines = []
        if result.train and result.train.verdict == "does not fit":
            peak, trained = result.train.per_gpu.device_bytes, result.train
            guess = "" if trained.measured else ", by formula"
            lines.append(f"the training takes about {format_size(peak)} of each{guess}")
            lines += [f"it would fit with {one.change}: {format_size(one.device_bytes)}" for one in trained.advice]
        lines += shortages(result.servers)
        if result.evaluate and not result.evaluate_fits:
            size = format_size(result.evaluate.device_bytes)
            lines.append(f"the evaluation holds the whole model on each: about {size}, by formula")
        command = ["bundle", "plan", str(path)]
        for name, config in configs.items():
            command += ["--config", f"{name}={config}"]
        super().__init__(
            f"{path} does not fit {result.gpus} GPUs of {format_size(result.gpu_bytes)}",
            because="\n".join(lines),
            hint=f"{shlex.join(command)}   # the whole account; to go on all the same: --accept {CHECK}",
        )
