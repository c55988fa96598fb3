"""LLaMA-Factory's batch prediction, of the base model and of the tuned one: the same questions, the same settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import EVALUATE_BASE, EVALUATE_TUNED, TRAIN
from bundler.workloads.container import CONFIG, OUTPUT
from bundler.workloads.dataset_info import dataset_info
from bundler.workloads.flat_yaml import document
from bundler.workloads.paths import ADAPTER, DATA, MODEL, OFFLINE, shared_memory
from bundler.workloads.train_arguments import precision, quantization

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.evaluation import Evaluate
    from bundler.manifest.schema import Manifest, Target
    from bundler.manifest.training import Train


def evaluations(manifest: Manifest) -> tuple[Workload, ...]:
    """The two jobs of `bundle evaluate`, each leaves predict_results.json and generated_predictions.jsonl."""
    return tuple(_evaluations(manifest))


def _evaluations(manifest: Manifest) -> Iterator[Workload]:
    job, wanted = manifest.train, manifest.evaluate
    if not job or not wanted:
        return
    base, tuned = Mount(f"models/{job.model}", MODEL), Mount(f"results/{TRAIN}", MODEL)
    yield _workload(EVALUATE_BASE, manifest, job, wanted, (base,))
    if job.method == "lora":
        yield _workload(EVALUATE_TUNED, manifest, job, wanted, (base, Mount(f"results/{TRAIN}", ADAPTER)))
    else:
        yield _workload(EVALUATE_TUNED, manifest, job, wanted, (tuned,))


def _workload(name: str, manifest: Manifest, job: Train, wanted: Evaluate, models: tuple[Mount, ...]) -> Workload:
    target, names = manifest.target, tuple(dict.fromkeys(wanted.datasets))
    adapter = any(mount.target == ADAPTER for mount in models)
    environment = dict(OFFLINE)
    if target.count > 1:
        environment |= {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(target.count)}
    return Workload(
        name=name,
        kind="evaluate",
        image=job.image,
        command=("llamafactory-cli", "train", f"{CONFIG}/evaluate.yaml"),
        mounts=(*models, *(Mount(f"datasets/{dataset}", f"{DATA}/{dataset}") for dataset in names)),
        environment=environment,
        files={
            "evaluate.yaml": document(_arguments(job, wanted, target, adapter=adapter)),
            "dataset_info.json": dataset_info((dataset, manifest.datasets[dataset]) for dataset in names),
        },
        gpus=target.count,
        shm=shared_memory(gpus=target.count),
    )


def _arguments(job: Train, wanted: Evaluate, target: Target, *, adapter: bool) -> dict[str, Any]:
    """Greedy, so that a second run says the same; never with DeepSpeed, whose ZeRO-3 can't generate so (LF 0.9.3)."""
    numbers = precision(job, target)
    arguments: dict[str, Any] = {
        "model_name_or_path": MODEL,
        **({"adapter_name_or_path": ADAPTER} if adapter else {}),
        "trust_remote_code": False,
        "stage": "sft",
        "do_predict": True,
        "predict_with_generate": True,
        "finetuning_type": job.method,
        **quantization(job),  # it may not fit the GPUs otherwise
        "eval_dataset": ",".join(dict.fromkeys(wanted.datasets)),
        "dataset_dir": CONFIG,
        "template": job.template,
        "cutoff_len": job.cutoff_len,
        **({"rope_scaling": job.rope_scaling} if job.rope_scaling else {}),  # an adapter is of those positions
        **({"max_samples": wanted.max_samples} if wanted.max_samples else {}),
        "output_dir": OUTPUT,
        "per_device_eval_batch_size": wanted.batch_size,
        "max_new_tokens": wanted.max_new_tokens,
        "do_sample": False,
        "seed": job.seed,
        "bf16": numbers == "bf16",
        "fp16": numbers == "fp16",
        "report_to": "none",
    }
    return arguments if target.count else arguments | {"use_cpu": True}
