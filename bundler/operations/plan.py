"""What a manifest's training and service will take of each GPU, before anything is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.core.errors import CheckRefused
from bundler.manifest.artifacts import LocalModel
from bundler.manifest.hardware import hardware
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import VllmService
from bundler.manifest.training import Train
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
from bundler.planning.shape import ShapeUnknown


class NoGpu(CheckRefused):
    """A memory plan was asked of a manifest whose target has no GPU."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """One GPU's training: the prediction, the verdict, and what would make it fit."""

    per_gpu: MemoryPlan
    verdict: str
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan of a manifest, for GPUs of `gpu_bytes`. `fits` is False where anything does not."""

    gpu_bytes: int
    gpus: int
    train: TrainPlan | None
    serve: ServingPlan | None

    @property
    def fits(self) -> bool:
        return not (self.train and self.train.verdict == "does not fit") and not (self.serve and not self.serve.fits)


def plan(manifest: Manifest, configs: Mapping[str, Path]) -> PlanResult:
    """Plan from config.json alone: `configs` by the model's name, else that of a local model's directory.

    Raises ShapeUnknown where a model has neither, and NoGpu.
    """
    gpu_bytes, gpus = hardware(manifest.target).memory, manifest.target.count
    if not gpu_bytes or not gpus:
        raise NoGpu(
            "the memory of a CPU can't be planned",
            because="the manifest's target has no GPU",
            hint="name one in the manifest, like: target: {gpu: L20, count: 4}",
        )
    trained = None
    if manifest.train:
        shape = _shape(manifest, manifest.train.model, configs)
        setting = training_setting(manifest.train, gpus)
        memory = train_memory(shape, setting)
        trained = TrainPlan(memory, verdict(memory, gpu_bytes), advise(shape, setting, gpu_bytes))
    served = None
    if manifest.serve:
        name = manifest.train.model if manifest.train and manifest.serve.model == "train" else manifest.serve.model
        served = serve_memory(_shape(manifest, name, configs), serving_setting(manifest.serve), gpu_bytes)
    return PlanResult(gpu_bytes, gpus, trained, served)


def training_setting(train: Train, gpus: int) -> TrainingSetting:
    """The manifest's words, and of `extra` those that change memory, in the terms of the prediction."""
    extra = train.extra
    stage = {"z2": 2, "z3": 3}.get(train.deepspeed.removesuffix("-offload"), 0)
    return TrainingSetting(
        method="qlora" if train.quantization == "nf4" else train.method,
        batch=train.batch_size,
        cutoff_len=train.cutoff_len,
        rank=train.lora.rank,
        checkpointing=not extra.get("disable_gradient_checkpointing", False),
        liger=bool(extra.get("enable_liger_kernel", False)),
        dtype=train.precision or "bf16",
        pure=bool(extra.get("pure_bf16", False)),
        sharding=stage,  # type: ignore[arg-type]
        offload=train.deepspeed.endswith("-offload"),
        world=gpus,
    )


def serving_setting(service: VllmService) -> ServingSetting:
    """The manifest's words in the terms of the prediction."""
    return ServingSetting(
        tensor=service.tensor_parallel,
        pipeline=service.pipeline_parallel,
        dtype_bytes=4 if service.dtype == "float32" else 2,
        quantization=service.quantization,
        max_model_len=service.max_model_len,
        max_num_seqs=service.max_num_seqs or 256,
        utilization=service.gpu_memory_utilization,
    )


def _shape(manifest: Manifest, name: str, configs: Mapping[str, Path]) -> DecoderShape:
    path = configs.get(name)
    model = manifest.models.get(name)
    if path is None and isinstance(model, LocalModel):
        path = model.path.resolved / "config.json"
    if path is None:
        raise ShapeUnknown(
            f"the config.json of model {name} is not at hand",
            because="the model is not a directory of this machine, and nothing is fetched for a plan yet",
            hint=f"bundle plan MANIFEST --config {name}=config.json",
        )
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ShapeUnknown(f"{path} can't be read as a config.json", because=str(error)) from error
    if not isinstance(config, dict):
        raise ShapeUnknown(f"{path} can't be read as a config.json", because="it is not an object")
    return DecoderShape.parse(config)
