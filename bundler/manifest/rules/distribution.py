"""How a training is spread over GPUs, and its kernels: what can't go together, or not on this target."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import KeyPath, Problem, dotted, shown
from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import SglangService, VllmService


def needs_a_gpu(manifest: Manifest) -> Iterator[Problem]:
    """DeepSpeed as we render it, FSDP, Unsloth, Liger and FlashAttention 2 run on GPUs.

    FlashAttention 2 from capability 8.0 (its README), Unsloth and Liger by Triton.
    """
    train, gpu = manifest.train, capability(manifest.target)
    if not train:
        return
    on_cpu = manifest.target.count == 0
    if train.deepspeed != "none" and on_cpu:
        found = shown(train.deepspeed)
        yield Problem(("train", "deepspeed"), found, "none", "the target is the CPU", concerns=(("target",),))
    if train.fsdp != "none" and on_cpu:
        found = shown(train.fsdp)
        yield Problem(("train", "fsdp"), found, "none", "the target is the CPU", concerns=(("target",),))
    for name in ("unsloth", "liger"):
        if getattr(train, name) and on_cpu:
            because = "the target is the CPU, and its kernels are for GPUs"
            yield Problem(("train", name), "true", "false", because, concerns=(("target",),))
    if train.flash_attn == "fa2" and (on_cpu or (gpu and gpu < AMPERE)):
        because = "the target is the CPU" if on_cpu else f"compute capability {gpu} has no FlashAttention 2"
        yield Problem(("train", "flash_attn"), "'fa2'", "auto, sdpa or disabled", because, concerns=(("target",),))


def offload_compiles(manifest: Manifest) -> Iterator[Problem]:
    """Offload compiles DeepSpeedCPUAdam on the node, with nvcc and -lcurand (LF#5020, #9270): use a devel image."""
    train = manifest.train
    image = manifest.images.get(train.image) if train else None
    if not train or not isinstance(image, DockerfileImage) or not train.deepspeed.endswith("offload"):
        return
    if "runtime" in (image.base.tag or ""):
        because = f"train.deepspeed is {train.deepspeed}, which compiles its optimizer on the node"
        yield Problem(
            ("images", train.image, "base"),
            f"'{image.base}'",
            "the devel variant of this image",
            because,
            concerns=(("train", "deepspeed"), ("train", "image")),
        )


def triton_compiles(manifest: Manifest) -> Iterator[Problem]:
    """Triton compiles its launchers where it runs, with gcc, which the runtime images lack (vllm#2997, #14075;
    sglang#1067): Liger, Unsloth, and the servers.
    """
    train = manifest.train
    wanted: dict[str, list[KeyPath]] = {}
    for name in ("liger", "unsloth") if train else ():
        if train and getattr(train, name):
            wanted.setdefault(train.image, []).append(("train", name))
    for kind in (VllmService, SglangService):
        for path, service in manifest.services_of(kind):
            wanted.setdefault(service.image, []).append(path)
    told = {problem.path for problem in offload_compiles(manifest)}
    for name, users in wanted.items():
        image, path = manifest.images.get(name), ("images", name, "base")
        if isinstance(image, DockerfileImage) and "runtime" in (image.base.tag or "") and path not in told:
            because = f"'{dotted(users[0])}' compiles kernels on the node, and there is no gcc in it"
            expected = "the devel variant of this image"
            yield Problem(path, f"'{image.base}'", expected, because, concerns=tuple(users))


def fully_sharded(manifest: Manifest) -> Iterator[Problem]:
    """FSDP shards over several GPUs, in the place of DeepSpeed, and by layers that the model names."""
    train = manifest.train
    if not train or train.fsdp == "none":
        return
    path, found = ("train", "fsdp"), shown(train.fsdp)
    if train.deepspeed != "none":
        because = f"train.deepspeed is {train.deepspeed}, and each shards the model in its own way"
        yield Problem(path, found, "one of both", because, concerns=(("train", "deepspeed"),))
    if manifest.target.count == 1:
        because = "the target has one GPU, so there is nothing to shard over"
        yield Problem(path, found, "none, or 'deepspeed: z2-offload'", because, concerns=(("target", "count"),))
    if train.stage == "rm":
        # trl's AutoModelForCausalLMWithValueHead has no _no_split_modules (accelerate 1.7, utils/dataclasses.py)
        because = "a reward model's value head hides the layers from it, and the whole model would be one shard"
        yield Problem(path, found, "none, or 'deepspeed: z3'", because, concerns=(("train", "stage"),))


def unsloth(manifest: Manifest) -> Iterator[Problem]:
    """Unsloth patches the model's own layers, which nobody else may shard or freeze (LF 0.9.3, hparams/parser.py)."""
    train = manifest.train
    if not train or not train.unsloth:
        return
    path = ("train", "unsloth")
    if train.deepspeed.startswith("z3"):
        because = f"train.deepspeed is {train.deepspeed}, and LLaMA-Factory refuses the two together"
        yield Problem(path, "true", "false, or 'deepspeed: z2'", because, concerns=(("train", "deepspeed"),))
    if train.fsdp != "none":
        because = "train.fsdp shards the layers that it replaces"
        yield Problem(path, "true", "false, or no fsdp", because, concerns=(("train", "fsdp"),))
    if train.method == "freeze":
        because = "LLaMA-Factory asks it for LoRA or for all weights (model_utils/unsloth.py)"
        yield Problem(path, "true", "false, or method 'lora'", because, concerns=(("train", "method"),))
    if train.liger:
        because = "both replace the same kernels of the model"
        yield Problem(("train", "liger"), "true", "one of 'unsloth' and 'liger'", because, concerns=(path,))


RULES = (needs_a_gpu, offload_compiles, triton_compiles, fully_sharded, unsloth)
