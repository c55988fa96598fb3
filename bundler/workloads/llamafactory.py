"""LLaMA-Factory: the job that trains, and the one that merges its adapter into the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import MERGE, TRAIN
from bundler.workloads import fsdp, swanlab_server
from bundler.workloads.container import CONFIG, OUTPUT
from bundler.workloads.dataset_info import dataset_info
from bundler.workloads.deepspeed import configuration
from bundler.workloads.flat_yaml import document
from bundler.workloads.paths import ADAPTER, DATA, MODEL, OFFLINE, shared_memory
from bundler.workloads.train_arguments import arguments, distributed, precision

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Manifest, Target
    from bundler.manifest.training import Train

_TORCH_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def train(manifest: Manifest, job: Train) -> Workload:
    """The training job: leaves the adapter, or the whole model, in `results/train`."""
    target = manifest.target
    server = swanlab_server.of(job)
    command = _command(job)
    names = tuple(dict.fromkeys((*job.datasets, *(job.eval_datasets or ()))))
    return Workload(
        name=TRAIN,
        kind="train",
        image=job.image,
        command=server.command(command) if server else command,
        mounts=(Mount(f"models/{job.model}", MODEL), *(Mount(f"datasets/{name}", f"{DATA}/{name}") for name in names)),
        environment={**OFFLINE, **_environment(job, target), **(server.environment if server else {})},
        files={
            "train.yaml": document(arguments(job, target)),
            "dataset_info.json": dataset_info((name, manifest.datasets[name]) for name in names),
            **_distribution(job, target),
        },
        gpus=target.count,
        shm=shared_memory(gpus=target.count),
        api_key=server.key if server else "",
        way_out=server.address if server else "",
    )


def merges(job: Train) -> bool:
    """Whether the job is followed by a merge: only an adapter can be merged.

    A reward model's adapter is not: the export leaves its value head out (LF 0.9.3, train/tuner.py, export_model),
    and what remains is no reward model.
    """
    return job.method == "lora" and job.stage != "rm"


def merge(manifest: Manifest, job: Train) -> Workload:
    """The job that merges the adapter: leaves a model with its tokenizer in `results/merge`.

    On the CPU, in the numbers of the training: the GPUs might not hold a model that was trained quantized, and
    without `infer_dtype` it would be read as float32 there, twice the memory (LF 0.9.3, extras/misc.py,
    infer_optim_dtype).
    """
    members: dict[str, Any] = {
        "model_name_or_path": MODEL,
        "adapter_name_or_path": ADAPTER,
        "template": job.template,
        "trust_remote_code": False,
        "infer_dtype": _TORCH_DTYPES[precision(job, manifest.target)],
        **_stretched(job),
        "export_dir": OUTPUT,
        "export_size": 5,
        "export_device": "cpu",
        "export_legacy_format": False,
    }
    return Workload(
        name=MERGE,
        kind="merge",
        image=job.image,
        command=("llamafactory-cli", "export", f"{CONFIG}/merge.yaml"),
        mounts=(Mount(f"models/{job.model}", MODEL), Mount(f"results/{TRAIN}", ADAPTER)),
        environment=dict(OFFLINE),
        files={"merge.yaml": document(members)},
    )


def result(job: Train) -> str:
    """Where the model that this job makes can be mounted from."""
    return f"results/{MERGE if merges(job) else TRAIN}"


def _stretched(job: Train) -> dict[str, Any]:
    """The merged model keeps the positions of the training only when it is told of them again, with their length.

    Without `cutoff_len` the export would take a factor of 2 (LF 0.9.3, model_utils/rope.py, and parser.py).
    """
    return {"rope_scaling": job.rope_scaling, "cutoff_len": job.cutoff_len} if job.rope_scaling else {}


def _command(job: Train) -> tuple[str, ...]:
    if job.fsdp == "none":
        return ("llamafactory-cli", "train", f"{CONFIG}/train.yaml")
    launch = ("accelerate", "launch", "--config_file", f"{CONFIG}/accelerate.yaml")
    return (*launch, "-m", "llamafactory.launcher", f"{CONFIG}/train.yaml")


def _environment(job: Train, target: Target) -> dict[str, str]:
    if job.fsdp != "none" or not distributed(job, target):
        return {}
    return {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(target.count)}


def _distribution(job: Train, target: Target) -> dict[str, str]:
    """The file that says how the work is shared between GPUs; plain DDP needs none."""
    if job.deepspeed != "none":
        return {"deepspeed.json": configuration(job.deepspeed, quantized=job.quantization != "none")}
    if job.fsdp != "none":
        offload, numbers = job.fsdp == "full-offload", precision(job, target)
        return {"accelerate.yaml": fsdp.configuration(processes=target.count, numbers=numbers, offload=offload)}
    return {}
