"""Training: what LLaMA-Factory refuses, or the GPU can't do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from bundler.manifest.artifacts import DockerfileImage, HubModel
from bundler.manifest.findings import Problem, shown
from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.rules.arguments import ARGUMENTS, repeated, secret
from bundler.manifest.schema import Manifest
from bundler.manifest.version import Version

_TEMPLATES_SINCE = {"qwen3": Version("0.9.3"), "qwen3_nothink": Version("0.9.4")}
"""LF 0.9.3 and 0.9.4, data/template.py."""

_QWEN3 = re.compile(r"qwen-?3", re.IGNORECASE)
_QWEN3_SINCE = Version("0.9.3")
"""LF 0.9.2 pins transformers <= 4.49, which does not know Qwen3 (its setup.py; transformers 4.51 release notes)."""


def precision(manifest: Manifest) -> Iterator[Problem]:
    """bf16 needs compute capability 8.0 (LF#4960); fp16 needs a GPU (transformers, TrainingArguments)."""
    train, gpu = manifest.train, capability(manifest.target)
    if not train or not train.precision:
        return
    path, concerns = ("train", "precision"), (("target",),)
    if train.precision == "bf16" and gpu and gpu < AMPERE:
        because = f"compute capability {gpu} has no bf16"
        yield Problem(path, "bf16", "fp16 or fp32", because, concerns=concerns)
    if train.precision == "fp16" and manifest.target.count == 0:
        yield Problem(path, "fp16", "fp32 or bf16", "the target is the CPU", concerns=concerns)


def quantization(manifest: Manifest) -> Iterator[Problem]:
    """Quantized weights can't be trained, only adapters beside them (LF 0.9.3, hparams/parser.py)."""
    train = manifest.train
    if not train:
        return
    path, found = ("train", "quantization"), shown(train.quantization)
    if train.quantization != "none" and train.method != "lora":
        because = f"the method is {train.method}, which trains the weights themselves"
        yield Problem(path, found, "none, or method 'lora'", because, concerns=(("train", "method"),))
    if train.quantization != "none" and manifest.target.count == 0:
        yield Problem(path, found, "none", "bitsandbytes needs a GPU", concerns=(("target",),))


def needs_a_gpu(manifest: Manifest) -> Iterator[Problem]:
    """DeepSpeed as we render it and FlashAttention 2 run on GPUs, the latter from capability 8.0 (its README)."""
    train, gpu = manifest.train, capability(manifest.target)
    if not train:
        return
    on_cpu = manifest.target.count == 0
    if train.deepspeed != "none" and on_cpu:
        found = shown(train.deepspeed)
        yield Problem(("train", "deepspeed"), found, "none", "the target is the CPU", concerns=(("target",),))
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


def one_length(manifest: Manifest) -> Iterator[Problem]:
    """`max_steps` would silently win over `epochs` (transformers, TrainingArguments)."""
    train = manifest.train
    if train and train.epochs is not None and train.max_steps is not None:
        yield Problem(("train", "max_steps"), "both 'epochs' and 'max_steps'", "one of them", at_key=True)


def idle_settings(manifest: Manifest) -> Iterator[Problem]:
    """A setting that would do nothing is a mistake that nobody sees until the results are there."""
    train = manifest.train
    if train and "lora" in train.model_fields_set and train.method != "lora":
        path, because, concerns = ("train", "lora"), f"the method is {train.method}", (("train", "method"),)
        yield Problem(path, "settings of LoRA", "none", because, concerns=concerns, at_key=True)
    if train and "double_quantization" in train.model_fields_set and train.quantization == "none":
        path, concerns = ("train", "double_quantization"), (("train", "quantization"),)
        yield Problem(path, "a setting of nf4", "'quantization: nf4' too", concerns=concerns, at_key=True)


def framework_knows_the_model(manifest: Manifest) -> Iterator[Problem]:
    """Qwen3 and its templates came with LLaMA-Factory 0.9.3 and 0.9.4."""
    train = manifest.train
    if not train:
        return
    since = _TEMPLATES_SINCE.get(train.template)
    model = manifest.models.get(train.model)
    if since and train.llamafactory < since:
        because = f"the image has LLaMA-Factory {train.llamafactory}, this template came with {since}"
        path, expected = ("train", "template"), "a template that it has"
        yield Problem(path, shown(train.template), expected, because, concerns=(("train", "llamafactory"),))
        return
    names = [origin.source.partition("://")[2] for origin in model.origins] if isinstance(model, HubModel) else []
    named = next((name for name in names if _QWEN3.search(name)), None)
    if train.llamafactory < _QWEN3_SINCE and named:
        because = f"{named} needs transformers 4.51, and it takes 4.49 at most"
        found, expected = str(train.llamafactory), f"{_QWEN3_SINCE} or newer"
        concerns = (("models", train.model), ("train", "model"))
        yield Problem(("train", "llamafactory"), found, expected, because, concerns=concerns)


def extra(manifest: Manifest) -> Iterator[Problem]:
    """`extra` repeats nothing that has its own key, and carries no secret."""
    if manifest.train:
        names = manifest.train.extra
        path = ("train", "extra")
        yield from chain(repeated(path, names, ARGUMENTS), secret(path, names))


RULES = (
    precision,
    quantization,
    needs_a_gpu,
    offload_compiles,
    one_length,
    idle_settings,
    framework_knows_the_model,
    extra,
)
