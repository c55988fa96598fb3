"""Values in `train.extra` that are of the right kind, and that LLaMA-Factory or transformers refuses all the same.

Found by giving 0.9.3's own parser each of its arguments (tests/oracle/compare_arguments.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from bundler.manifest.findings import Problem, shown
from bundler.manifest.gpus import AMPERE
from bundler.manifest.hardware import capability
from bundler.manifest.schema import Manifest

_BITS = ("ref_model_quantization_bit", "reward_model_quantization_bit")
"""LF 0.9.3, hparams/finetuning_args.py."""

_PIXELS = {"image": (768 * 768, 32 * 32), "video": (256 * 256, 16 * 16)}
"""The most and the least, where they are left out (LF 0.9.3, hparams/model_args.py)."""

_ACCELERATOR = (
    "split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler", "non_blocking",
    "gradient_accumulation_kwargs", "use_configured_state",
)  # fmt: skip
"""transformers 4.51.3, trainer_pt_utils.py, AcceleratorConfig."""

_BACKENDS = ("nccl", "gloo", "mpi", "ccl", "hccl", "cncl", "mccl")
"""transformers 4.51.3, training_args.py, ddp_backend."""

_DEBUG = ("underflow_overflow", "tpu_metrics_debug")
"""transformers 4.51.3, debug_utils.py, DebugOption; text is split at spaces."""


def values(manifest: Manifest) -> Iterator[Problem]:
    """Numbers under `train.extra` that transformers and LLaMA-Factory refuse: bits, pixels, steps."""
    extra: Mapping[str, Any] = manifest.train.extra if manifest.train else {}
    for name in _BITS:
        if extra.get(name) not in (None, 4, 8):
            yield _wrong(extra, name, "4 or 8", "LLaMA-Factory takes no other")
    for kind, (most, least) in _PIXELS.items():
        upper, lower = extra.get(f"{kind}_max_pixels", most), extra.get(f"{kind}_min_pixels", least)
        if _whole(upper) and _whole(lower) and upper < lower:
            given, other = f"{kind}_max_pixels", f"'{kind}_min_pixels' is {lower}"
            if given in extra:
                yield _wrong(extra, given, f"{lower} or more", other)
            else:
                yield _wrong(extra, f"{kind}_min_pixels", f"{upper} or less", f"'{given}' is {upper}")
    steps = extra.get("torch_empty_cache_steps")
    if _whole(steps) and steps < 1:
        yield _wrong(extra, "torch_empty_cache_steps", "1 or more", "it is a number of steps")
    if extra.get("dataloader_prefetch_factor") is not None and not extra.get("dataloader_num_workers"):
        because = "without workers nothing is fetched ahead, and transformers refuses it"
        yield _wrong(extra, "dataloader_prefetch_factor", "'dataloader_num_workers' too", because)


def words(manifest: Manifest) -> Iterator[Problem]:
    """Words under `train.extra` that transformers looks up though its source lists none for them."""
    extra: Mapping[str, Any] = manifest.train.extra if manifest.train else {}
    backend, debug = extra.get("ddp_backend"), extra.get("debug")
    if isinstance(backend, str) and backend not in _BACKENDS:
        yield _wrong(extra, "ddp_backend", f"one of {', '.join(_BACKENDS)}", "PyTorch has no other")
    if isinstance(debug, str) and not set(debug.split()) <= {*_DEBUG}:
        yield _wrong(extra, "debug", f"one of {', '.join(_DEBUG)}", "transformers has no other")
    settings = extra.get("accelerator_config")
    if isinstance(settings, str):
        because = "a text names a file, and no file of yours is in the container"
        yield _wrong(extra, "accelerator_config", "a mapping", because)
    for name in settings if isinstance(settings, Mapping) else ():
        if name not in _ACCELERATOR:
            path, expected = ("train", "extra", "accelerator_config", name), f"one of {', '.join(_ACCELERATOR)}"
            yield Problem(path, shown(name), expected, "accelerate would refuse to start", at_key=True)


def probabilities(manifest: Manifest) -> Iterator[Problem]:
    """`interleave_probs` has one number for each dataset (LF 0.9.3, hparams/data_args.py)."""
    train = manifest.train
    given = train.extra.get("interleave_probs") if train else None
    if not train or given is None or train.extra.get("mix_strategy", "concat") == "concat":
        return
    count = len(given.split(",")) if isinstance(given, str) else len(given) if isinstance(given, list) else 0
    for key in ("datasets", "eval_datasets"):
        names = dict.fromkeys(getattr(train, key) or ())
        if names and count and count != len(names):
            because = f"there are {len(names)} names in '{key}', and the same shares are for both"
            yield _wrong(train.extra, "interleave_probs", f"{len(names)} numbers", because)


def precision(manifest: Manifest) -> Iterator[Problem]:
    """TF32 from compute capability 8.0 on (transformers 4.51.3, TrainingArguments, which raises)."""
    train, gpu = manifest.train, capability(manifest.target)
    if train and train.extra.get("tf32") is True and (manifest.target.count == 0 or (gpu and gpu < AMPERE)):
        because = f"compute capability {gpu} has no TF32" if gpu else "the target is the CPU"
        yield Problem(("train", "extra", "tf32"), "true", "false", because, concerns=(("target",),))


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(extra: Mapping[str, Any], name: str, expected: str, because: str) -> Problem:
    return Problem(("train", "extra", name), shown(extra[name]), expected, because)


RULES = (values, words, probabilities, precision)
