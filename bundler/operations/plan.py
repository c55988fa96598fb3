"""What a manifest's training and service will take of each GPU, how long it is, and what becomes of its data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.core.errors import CheckRefused
from bundler.core.events import Events, Warned
from bundler.core.size import format_size
from bundler.core.strict_json import LIMIT, MalformedJson, parse_object
from bundler.manifest.artifacts import LocalModel
from bundler.manifest.hardware import hardware
from bundler.manifest.lock import Lock, LockedFiles, lock_path
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import VllmService
from bundler.manifest.training import Train
from bundler.operations.judge_data import all_held_back, samples
from bundler.planning import (
    Advice,
    DecoderShape,
    MemoryPlan,
    ServingPlan,
    ServingSetting,
    TrainingSetting,
    advise,
    serve_memory,
    train_memory,
    verdict,
)
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.planning.shape import ShapeUnknown
from bundler.planning.steps import Schedule, Steps, steps
from bundler.store.layout import Store

CHECK = "memory"
"""The name by which `--accept` lets pass what does not fit."""
_POSITIONS = ("rope_scaling", "rope_theta", "hf_overrides")
"""vLLM's flags in `extra` by which a model reaches further than its config says."""
PAIRED = ("dpo", "rm", "kto")
"""Stages whose samples are two sequences each: chosen and rejected, or one and its pair for the KL term."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """One GPU's training: the prediction, the verdict, and what would make it fit.

    `measured` says whether the formulas were compared with a GPU for such a training (docs/memory.md): one GPU, bf16.
    `steps` is None where it is not known how many samples there are, or none is left to train on.
    """

    per_gpu: MemoryPlan
    verdict: str
    advice: tuple[Advice, ...]
    measured: bool
    steps: Steps | None


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan of a manifest, for `gpus` GPUs of `gpu_bytes` each; both 0 on a CPU."""

    gpu_bytes: int
    gpus: int
    train: TrainPlan | None
    serve: ServingPlan | None
    data: Mapping[str, DatasetVerdict]

    @property
    def fits(self) -> bool:
        """Whether neither training nor service needs more than the GPUs have."""
        return not (self.train and self.train.verdict == "does not fit") and not (self.serve and not self.serve.fits)


def plan(manifest: Manifest, configs: Mapping[str, Path], data: Mapping[str, DatasetVerdict]) -> PlanResult:
    """Plan from each model's config.json (`configs` by the model's name, else a local model's own) and what became of
    the datasets. Raises ShapeUnknown where a model has neither. Of a CPU's memory
    nothing is said.
    """
    gpu_bytes, gpus = hardware(manifest.target).memory, manifest.target.count
    if not gpu_bytes or not gpus:
        return PlanResult(0, 0, None, None, data)
    trained = None
    if manifest.train:
        shape = _shape(manifest, manifest.train.model, configs)
        setting = training_setting(manifest.train, gpus)
        memory = train_memory(shape, setting)
        trained = TrainPlan(
            memory,
            verdict(memory, gpu_bytes),
            advise(shape, setting, gpu_bytes),
            measured=_measured(manifest.train, setting),
            steps=_steps(manifest.train, gpus, data),
        )
    served = None
    if isinstance(manifest.serve, VllmService):
        name = manifest.train.model if manifest.train and manifest.serve.model == "train" else manifest.serve.model
        stretched = bool(manifest.train and manifest.train.rope_scaling and manifest.serve.model == "train")
        setting_ = serving_setting(manifest.serve, stretched=stretched)
        served = serve_memory(_shape(manifest, name, configs), setting_, gpu_bytes)
    return PlanResult(gpu_bytes, gpus, trained, served, data)


def require_fit(
    manifest: Manifest,
    path: Path,
    models: Sequence[LockedFiles],
    store: Store,
    events: Events,
    accepted: Sequence[str],
) -> None:
    """Plan with each model's config.json, before any weights are fetched or images built.

    Raises DoesNotFit, unless `memory` is accepted. A model whose shape is not known is told and not judged.
    """
    if CHECK in accepted:
        return
    configs = configs_of(models, store)
    try:
        result = plan(manifest, configs, {})
    except ShapeUnknown as unknown:
        events.emit(Warned(f"the memory of the GPUs is not planned: {unknown}"))
        return
    if not result.fits:
        raise DoesNotFit(path, configs, result)


class DoesNotFit(CheckRefused):
    """The training or the service needs more memory than the GPUs have. No lock says where the configs are yet."""

    def __init__(self, path: Path, configs: Mapping[str, Path], result: PlanResult) -> None:
        lines = []
        if result.train and result.train.verdict == "does not fit":
            peak, trained = result.train.per_gpu.device_bytes, result.train
            guess = "" if trained.measured else ", by formula"
            lines.append(f"the training takes about {format_size(peak)} of each{guess}")
            lines += [f"it would fit with {one.change}: {format_size(one.device_bytes)}" for one in trained.advice]
        if result.serve and not result.serve.fits:
            lines += ["the service does not fit", *result.serve.problems]
        command = ["bundle", "plan", str(path)]
        for name, config in configs.items():
            command += ["--config", f"{name}={config}"]
        super().__init__(
            f"{path} does not fit {result.gpus} GPUs of {format_size(result.gpu_bytes)}",
            because="\n".join(lines),
            hint=f"{shlex.join(command)}   # the whole account; to go on all the same: --accept {CHECK}",
        )


def pinned_configs(path: Path, store: Path) -> Mapping[str, Path]:
    """The config.json of each model that the lock beside a manifest pins, where the store has it already."""
    target = lock_path(path)
    if not target.is_file() or not (store / "oci-layout").is_file():
        return {}
    return configs_of(Lock.parse(target.read_bytes(), str(target)).models, Store.open(store))


def configs_of(models: Sequence[LockedFiles], store: Store) -> Mapping[str, Path]:
    """The config.json of each pinned model, as far as the store has them."""
    files = ((model.name, file) for model in models for file in model.files if file.path == "config.json")
    return {name: store.path(file.digest) for name, file in files if store.path(file.digest).is_file()}


def _measured(train: Train, setting: TrainingSetting) -> bool:
    plain = train.stage in ("sft", "pt") and not train.unsloth
    return plain and setting.world == 1 and setting.dtype == "bf16" and not setting.pure


def _steps(train: Train, gpus: int, data: Mapping[str, DatasetVerdict]) -> Steps | None:
    count = samples(train, data)
    if count is None or all_held_back(train, data):
        return None
    return steps(
        count,
        Schedule(
            batch_size=train.batch_size,
            gradient_accumulation=train.gradient_accumulation,
            gpus=gpus,
            epochs=train.epochs or 3.0,
            max_steps=train.max_steps,
            warmup_ratio=train.warmup_ratio,
            warmup_steps=train.warmup_steps or 0,
            validation=train.val_size or 0.0,
            save_steps=train.save_steps,
        ),
    )


def training_setting(train: Train, gpus: int) -> TrainingSetting:
    """The manifest's words, and of `extra` those that change memory, in the terms of the prediction."""
    extra = train.extra
    stage = {"z2": 2, "z3": 3}.get(train.deepspeed.removesuffix("-offload"), 0 if train.fsdp == "none" else 3)
    return TrainingSetting(
        method="qlora" if train.quantization == "nf4" else train.method,
        batch=train.batch_size,
        sequences=2 if train.stage in PAIRED else 1,
        cutoff_len=train.cutoff_len,
        rank=train.lora.rank,
        checkpointing=not extra.get("disable_gradient_checkpointing", False),
        liger=train.liger,
        dtype=train.precision or "bf16",
        pure=bool(extra.get("pure_bf16", False)),
        sharding=stage,  # type: ignore[arg-type]
        offload="-offload" in f"{train.deepspeed}{train.fsdp}",
        freeze_layers=abs(train.freeze.layers),
        world=gpus,
    )


def serving_setting(service: VllmService, *, stretched: bool = False) -> ServingSetting:
    """The manifest's words in the terms of the prediction. `stretched`: the training scaled the model's positions."""
    return ServingSetting(
        tensor=service.tensor_parallel,
        pipeline=service.pipeline_parallel,
        dtype_bytes=4 if service.dtype == "float32" else 2,
        quantization=service.quantization,
        max_model_len=service.max_model_len,
        max_num_seqs=service.max_num_seqs or 256,
        utilization=service.gpu_memory_utilization,
        stretched=stretched or any(name.lstrip("-").replace("-", "_") in _POSITIONS for name in service.extra),
    )


def _shape(manifest: Manifest, name: str, configs: Mapping[str, Path]) -> DecoderShape:
    path = configs.get(name)
    model = manifest.models.get(name)
    if path is None and isinstance(model, LocalModel):
        path = model.path.resolved / "config.json"
    if path is None:
        raise ShapeUnknown(
            f"the config.json of model {name} is not at hand",
            because="the model is no directory of this machine, and no lock pins it yet",
            hint=f"bundle lock MANIFEST   # fetches it; or bundle plan MANIFEST --config {name}=config.json",
        )
    try:
        return DecoderShape.parse(_config(path))
    except ShapeUnknown as unknown:
        hint = unknown.hint or f"bundle plan MANIFEST --config {name}=config.json   # as the model's hub has it"
        raise ShapeUnknown(f"model {name}: {unknown.what}", because=unknown.because, hint=hint) from unknown


def _config(path: Path) -> dict[str, Any]:
    """A config.json as data. Raises ShapeUnknown, also for a pipe, which might never end."""
    unreadable = f"{path} can't be read as a config.json"
    try:
        if path.exists() and not path.is_file():
            raise ShapeUnknown(unreadable, because="it is not a file")
        with path.open("rb") as file:
            return parse_object(file.read(LIMIT + 1), str(path))
    except OSError as error:
        raise ShapeUnknown(unreadable, because=error.strerror) from error
    except MalformedJson as error:
        raise ShapeUnknown(unreadable, because=error.because) from error
