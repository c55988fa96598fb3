"""Training: what LLaMA-Factory refuses, or the GPU can't do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler.manifest.artifacts import HubModel
from bundler.manifest.findings import Problem, shown
from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.schema import Manifest
from bundler.manifest.version import Version

TEMPLATES_SINCE = {"qwen3": Version("0.9.3"), "qwen3_nothink": Version("0.9.4")}
"""LF 0.9.3 and 0.9.4, data/template.py."""

_QWEN3 = re.compile(r"qwen-?3", re.IGNORECASE)
_QWEN3_SINCE = Version("0.9.3")
"""LF 0.9.2 pins transformers <= 4.49, which does not know Qwen3 (its setup.py; transformers 4.51 release notes)."""


_SCHEDULE_NEEDS = {
    "cosine_with_min_lr": ("min_lr_rate", "min_lr"),
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Arguments without which a schedule raises (transformers 4.51.3, optimization.py)."""

_ROPE_ABOVE = 2048
"""LF ignores `rope_scaling` up to the model's positions (model_utils/rope.py), and no model here has fewer. Its merge
takes a `cutoff_len` of 2048 for one that was left out (hparams/parser.py)."""


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
    if train.precision == "fp32" and train.flash_attn == "fa2":
        because = "FlashAttention 2 computes in fp16 and bf16 alone"
        yield Problem(("train", "flash_attn"), "'fa2'", "auto, sdpa or disabled", because, concerns=(path,))


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


def one_length(manifest: Manifest) -> Iterator[Problem]:
    """`max_steps` would silently win over `epochs` (transformers, TrainingArguments)."""
    train = manifest.train
    if train and train.epochs is not None and train.max_steps is not None:
        yield Problem(("train", "max_steps"), "both 'epochs' and 'max_steps'", "one of them", at_key=True)


def schedule(manifest: Manifest) -> Iterator[Problem]:
    """Schedules that want more than they are given, or ignore what they are given (transformers, optimization.py)."""
    train = manifest.train
    if not train:
        return
    path, given = ("train", "scheduler"), train.extra.get("lr_scheduler_kwargs")
    kwargs = given if isinstance(given, dict) else {}
    wanted = _SCHEDULE_NEEDS.get(train.scheduler, ())
    if wanted and not any(name in kwargs for name in wanted):
        expected = f"'extra: {{lr_scheduler_kwargs: {{{wanted[0]}: ...}}}}' too"
        yield Problem(path, shown(train.scheduler), expected, "it has no default for that")
    for name in ("warmup_ratio", "warmup_steps"):
        if train.scheduler == "constant" and getattr(train, name):
            expected, because = "'scheduler: constant_with_warmup'", "constant has no warm-up"
            yield Problem(("train", name), "a warm-up", expected, because, concerns=(path,), at_key=True)
    if train.warmup_ratio and train.warmup_steps:
        because = "the steps would win"
        yield Problem(("train", "warmup_ratio"), "both 'warmup_ratio' and 'warmup_steps'", "one of them", because)


def idle_settings(manifest: Manifest) -> Iterator[Problem]:
    """A setting that would do nothing is a mistake that nobody sees until the results are there."""
    train = manifest.train
    if not train:
        return
    for section, what in (("lora", "LoRA"), ("freeze", "freeze")):
        if section in train.model_fields_set and train.method != section:
            path, because, concerns = ("train", section), f"the method is {train.method}", (("train", "method"),)
            yield Problem(path, f"settings of {what}", "none", because, concerns=concerns, at_key=True)
    if "double_quantization" in train.model_fields_set and train.quantization == "none":
        path, concerns = ("train", "double_quantization"), (("train", "quantization"),)
        yield Problem(path, "a setting of nf4", "'quantization: nf4' too", concerns=concerns, at_key=True)
    if train.rope_scaling and train.cutoff_len <= _ROPE_ABOVE:
        because = "positions are stretched only where samples are longer than the model's own reach"
        path, concerns = ("train", "rope_scaling"), (("train", "cutoff_len"),)
        found, expected = shown(train.rope_scaling), f"a 'cutoff_len' above {_ROPE_ABOVE}"
        yield Problem(path, found, expected, because, concerns=concerns)


def framework_knows_the_model(manifest: Manifest) -> Iterator[Problem]:
    """Qwen3 and its templates came with LLaMA-Factory 0.9.3 and 0.9.4."""
    train = manifest.train
    if not train:
        return
    since = TEMPLATES_SINCE.get(train.template)
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


RULES = (
    precision,
    quantization,
    one_length,
    idle_settings,
    framework_knows_the_model,
    schedule,
)
