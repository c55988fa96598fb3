"""What a manifest's training and services will take of each GPU, how long it is, and what becomes of its data.

The disks of the path and the time along it are counted by the same plan, of the same configs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bundler.manifest.hardware import hardware
from bundler.manifest.names import SERVE
from bundler.manifest.schema import Manifest
from bundler.manifest.training import Train
from bundler.operations.judge_data import samples
from bundler.operations.plan_configs import read_config
from bundler.operations.plan_payload import fetched, payload
from bundler.operations.plan_pinned import Pinned
from bundler.operations.plan_servers import ServerPlan, plan_servers
from bundler.operations.plan_settings import is_measured, training_setting
from bundler.planning import Advice, MemoryPlan, advise, train_memory, verdict
from bundler.planning.advice import Verdict
from bundler.planning.datasets.verdict import DatasetVerdict
from bundler.planning.disk import Machine, machines, unpacked
from bundler.planning.duration import Duration, Rate, StepName, duration
from bundler.planning.evaluation_memory import EvaluationPlan, evaluate_memory
from bundler.planning.serving_memory import FOUR_BITS
from bundler.planning.steps import Schedule, Steps, steps
from bundler.planning.training_memory import HELD


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
    """The plan of a manifest, for `gpus` GPUs of `gpu_bytes` each; both 0 on a CPU.

    `not_planned` says of `train`, `serve` and `services.NAME` why their memory is not planned, where it can't be: an
    architecture that is not counted. `servers` are `serve` and all others of models, by the workload's name, in the
    order in which they start. `disk` and `time` go along the path: builder, intranet host, node.
    """

    gpu_bytes: int
    gpus: int
    train: TrainPlan | None
    servers: Mapping[str, ServerPlan]
    data: Mapping[str, DatasetVerdict]
    not_planned: Mapping[str, str] = field(default_factory=dict)
    steps: Steps | None = None
    disk: Sequence[Machine] = ()
    time: Sequence[Duration] = ()
    evaluate: EvaluationPlan | None = None

    @property
    def fits(self) -> bool:
        """Whether training, services and evaluation need no more than the GPUs have, of those that are planned."""
        trains = not self.train or self.train.verdict != "does not fit"
        return trains and self.evaluate_fits and all(server.fits for server in self.servers.values())

    @property
    def serve(self) -> ServerPlan | None:
        """The manifest's `serve`, where it is planned."""
        return self.servers.get(SERVE)

    @property
    def evaluate_fits(self) -> bool:
        """Whether `bundle evaluate` needs no more than the GPUs have; so where there is none."""
        return self.evaluate is None or self.evaluate.fits(self.gpu_bytes)


def plan(
    manifest: Manifest,
    configs: Mapping[str, Path],
    data: Mapping[str, DatasetVerdict],
    pinned: Pinned | None = None,
    rates: Mapping[StepName, Rate] | None = None,
) -> PlanResult:
    """Plan from each model's config.json (`configs` by the model's name, else a local model's own) and what became of
    the datasets. What is `pinned` has its exact size in it; steps without one of `rates` are counted at assumed ones.

    Raises ShapeUnknown where a model has neither config. Of a CPU's memory nothing is said.
    """
    gpu_bytes, gpus = hardware(manifest.target).memory, manifest.target.count
    counted = _steps(manifest.train, max(1, gpus), data) if manifest.train else None
    whole = payload(manifest, configs, pinned or Pinned.none(), counted)
    loaded = tuple(unpacked(image) for image in whole.images)
    time = (
        duration("build", fetched(manifest, whole), rates or {}),
        duration("push", whole.store, rates or {}),
        duration("load", loaded, rates or {}),
    )
    disk = machines(whole)
    if not gpu_bytes or not gpus:
        return PlanResult(0, 0, None, {}, data, {}, counted, disk, time)
    why: dict[str, str] = {}
    trained = _train(manifest, configs, gpu_bytes, counted, why)
    servers = plan_servers(manifest, configs, gpu_bytes, why)
    evaluated = _evaluate(manifest, configs)
    return PlanResult(gpu_bytes, gpus, trained, servers, data, why, counted, disk, time, evaluated)


def _train(
    manifest: Manifest, configs: Mapping[str, Path], gpu_bytes: int, counted: Steps | None, why: dict[str, str]
) -> TrainPlan | None:
    if not manifest.train:
        return None
    config = read_config(manifest, manifest.train.model, configs)
    if config.shape is None:
        why["train"] = f"model {manifest.train.model}: {config.why}"
        return None
    if config.quantization and (config.quantization not in FOUR_BITS or manifest.train.method != "lora"):
        why["train"] = f"model {manifest.train.model}: a training of {config.quantization!r:.40} is not counted"
        return None
    setting = training_setting(manifest.train, manifest.target, config.quantization)
    measured = is_measured(manifest.train, setting) and not config.quantization
    memory = train_memory(config.shape, setting)
    return TrainPlan(
        memory,
        _judged(memory, gpu_bytes, manifest.train, measured=measured),
        advise(config.shape, setting, gpu_bytes),
        measured=measured,
        steps=counted,
    )


def _judged(memory: MemoryPlan, gpu_bytes: int, train: Train, *, measured: bool) -> Verdict:
    """The verdict; where no such training was measured it is `does not fit` only if even the least is too much.

    The least is the low end of the interval. Unsloth has kernels of its own, which keep far fewer activations and no
    whole logits, and by how much is not known: there it is what is held between the steps.
    """
    said = verdict(memory, gpu_bytes)
    if measured or said != "does not fit":
        return said
    parts = memory.breakdown
    least = sum(parts[name] for name in HELD) if train.unsloth else memory.low_bytes
    return "tight" if least + parts["cuda_context"] + parts["nccl"] <= gpu_bytes else said


def _evaluate(manifest: Manifest, configs: Mapping[str, Path]) -> EvaluationPlan | None:
    train, wanted = manifest.train, manifest.evaluate
    if not train or not wanted:
        return None
    config = read_config(manifest, train.model, configs)
    if config.shape is None or config.quantization not in (None, *FOUR_BITS):
        return None
    setting = training_setting(train, manifest.target, config.quantization)
    return evaluate_memory(config.shape, setting, wanted.batch_size, wanted.max_new_tokens)


def _steps(train: Train, gpus: int, data: Mapping[str, DatasetVerdict]) -> Steps | None:
    found = samples(train, data)
    if found is None:
        return None
    schedule = Schedule(
        batch_size=train.batch_size,
        gradient_accumulation=train.gradient_accumulation,
        gpus=gpus,
        epochs=train.epochs or 3.0,
        max_steps=train.max_steps,
        warmup_ratio=train.warmup_ratio,
        warmup_steps=train.warmup_steps or 0,
        validation=train.val_size or 0.0,
        save_steps=train.save_steps,
    )
    try:
        counted = steps(found.count, schedule)
    except ValueError:  # none is left to train on, which all_held_back says where it is certain
        return None
    return replace(counted, packed=found.packed, exact=found.exact)
