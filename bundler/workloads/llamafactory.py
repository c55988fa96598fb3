"""LLaMA-Factory: the job that trains, and the one that merges its adapter into the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.lock import Mount, Workload
from bundler.manifest.names import MERGE, TRAIN
from bundler.manifest.version import Version
from bundler.workloads.container import CONFIG, OUTPUT
from bundler.workloads.dataset_info import dataset_info
from bundler.workloads.deepspeed import configuration
from bundler.workloads.flat_yaml import document
from bundler.workloads.paths import ADAPTER, DATA, MODEL, OFFLINE, shared_memory

if TYPE_CHECKING:  # pydantic is not where the agent runs
    from bundler.manifest.schema import Manifest, Target
    from bundler.manifest.training import Train

_BNB_SINCE = Version("0.9.3")
"""The value was `bitsandbytes` before; a wrong one is not an error, the model is then not quantized at all."""

_TORCH_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_DDP_TIMEOUT = 180_000_000
"""Seconds. The other ranks wait while the first one tokenizes; NCCL's half hour is too short for large data."""


def train(manifest: Manifest, job: Train) -> Workload:
    """The training job: leaves the adapter, or the whole model, in `results/train`."""
    target = manifest.target
    names = tuple(dict.fromkeys(job.datasets))
    files = {
        "train.yaml": document(_train_arguments(job, target)),
        "dataset_info.json": dataset_info((name, manifest.datasets[name]) for name in names),
    }
    if job.deepspeed != "none":
        files["deepspeed.json"] = configuration(job.deepspeed, quantized=job.quantization != "none")
    environment = dict(OFFLINE)
    if _distributed(job, target):
        environment |= {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(target.count)}
    return Workload(
        name=TRAIN,
        kind="train",
        image=job.image,
        command=("llamafactory-cli", "train", f"{CONFIG}/train.yaml"),
        mounts=(Mount(f"models/{job.model}", MODEL), *(Mount(f"datasets/{name}", f"{DATA}/{name}") for name in names)),
        environment=environment,
        files=files,
        gpus=target.count,
        shm=shared_memory(gpus=target.count),
    )


def merge(manifest: Manifest, job: Train) -> Workload:
    """The job that merges the adapter: leaves a model with its tokenizer in `results/merge`.

    On the CPU, in the numbers of the training: the GPUs might not hold a model that was trained quantized, and
    without `infer_dtype` it would be read as float32 there, twice the memory (LF 0.9.3, extras/misc.py,
    infer_optim_dtype).
    """
    arguments = {
        "model_name_or_path": MODEL,
        "adapter_name_or_path": ADAPTER,
        "template": job.template,
        "trust_remote_code": False,
        "infer_dtype": _TORCH_DTYPES[precision(job, manifest.target)],
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
        files={"merge.yaml": document(arguments)},
    )


def result(job: Train) -> str:
    """Where the model that this job makes can be mounted from."""
    return f"results/{MERGE if job.method == 'lora' else TRAIN}"


def precision(job: Train, target: Target) -> str:
    """The numbers to compute with: those asked for, else the best that the target has."""
    if job.precision:
        return job.precision
    if not target.count:
        return "fp32"
    gpu = capability(target)
    return "fp16" if gpu and gpu < AMPERE else "bf16"


def _distributed(job: Train, target: Target) -> bool:
    """Whether it runs under torchrun; DeepSpeed wants that with one GPU too (LF 0.9.3, hparams/parser.py)."""
    return target.count > 1 or job.deepspeed != "none"


def _train_arguments(job: Train, target: Target) -> dict[str, Any]:
    numbers = precision(job, target)
    arguments: dict[str, Any] = {
        "model_name_or_path": MODEL,
        "trust_remote_code": False,
        "stage": job.stage,
        "do_train": True,
        "finetuning_type": job.method,
        **_method(job),
        "dataset": ",".join(dict.fromkeys(job.datasets)),
        "dataset_dir": CONFIG,
        "template": job.template,
        "cutoff_len": job.cutoff_len,
        "output_dir": OUTPUT,  # without overwrite_output_dir: a job that died goes on from its last checkpoint
        "save_steps": job.save_steps,
        "logging_steps": job.logging_steps,
        "per_device_train_batch_size": job.batch_size,
        "gradient_accumulation_steps": job.gradient_accumulation,
        "learning_rate": job.learning_rate,
        **({"max_steps": job.max_steps} if job.max_steps else {"num_train_epochs": job.epochs or 3.0}),
        "lr_scheduler_type": job.scheduler,
        **({"warmup_ratio": job.warmup_ratio} if job.warmup_ratio else {}),  # deprecated in transformers 5
        "seed": job.seed,
        "bf16": numbers == "bf16",
        "fp16": numbers == "fp16",
        "flash_attn": job.flash_attn,
    }
    if job.deepspeed != "none":
        arguments["deepspeed"] = f"{CONFIG}/deepspeed.json"
    if not target.count:
        arguments["use_cpu"] = True
    return arguments | _defaults(job, target) | job.extra


def _method(job: Train) -> dict[str, Any]:
    if job.method != "lora":
        return {}
    arguments: dict[str, Any] = {
        "lora_rank": job.lora.rank,
        "lora_alpha": job.lora.alpha or 2 * job.lora.rank,
        "lora_dropout": job.lora.dropout,
        "lora_target": job.lora.target,
    }
    if job.quantization == "nf4":
        arguments |= {
            "quantization_bit": 4,
            "quantization_method": "bnb" if job.llamafactory >= _BNB_SINCE else "bitsandbytes",
            "quantization_type": "nf4",
            "double_quantization": job.double_quantization,
        }
    return arguments


def _defaults(job: Train, target: Target) -> dict[str, Any]:
    """What the manifest has no key for, and `extra` may set in another way."""
    defaults: dict[str, Any] = {"plot_loss": True, "report_to": "none"}
    if _distributed(job, target):
        defaults["ddp_timeout"] = _DDP_TIMEOUT
    return defaults
