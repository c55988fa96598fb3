"""Serving: what vLLM and SGLang refuse, or the GPUs can't do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from bundler.manifest.artifacts import RegistryImage
from bundler.manifest.findings import Problem, shown
from bundler.manifest.gpus import AMPERE, BLACKWELL, BLACKWELL_RTX, TURING, Capability
from bundler.manifest.hardware import capability
from bundler.manifest.names import TRAINED
from bundler.manifest.reasoning import parser_for, parsers, sglang_parser, sglang_parsers
from bundler.manifest.rules.arguments import FLAGS, SGLANG_FLAGS, is_told, repeated, secret
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import SglangService, ShardedService, VllmService
from bundler.manifest.version import Version

_QUANTIZATION_FROM = {"awq": TURING, "awq_marlin": AMPERE, "gptq_marlin": AMPERE, "fp8": AMPERE}
"""VW model_executor/layers/quantization/*.py, get_min_capability."""

_CODE_SINCE: tuple[tuple[Capability, Version], ...] = (
    (BLACKWELL_RTX, Version("0.9.2")),
    (BLACKWELL, Version("0.9.0")),
)
"""The first vLLM wheel with machine code for a capability (fatbin headers of the wheels; vllm#16901)."""

_TOGETHER_UNTIL = (
    (Version("0.9.2"), Version("0.7.3")),
    (Version("0.9.3"), Version("0.8.6")),
    (Version("0.9.4"), Version("0.11.0")),
)
"""LLaMA-Factory's version, and the newest vLLM that it accepts beside it (LF setup.py and hparams/parser.py)."""

_TOGETHER_FROM = Version("0.10.0")
"""LLaMA-Factory 0.9.5 wants transformers >= 4.55, vLLM 0.9 < 4.54."""


def enough_gpus(manifest: Manifest) -> Iterator[Problem]:
    """A service takes tensor_parallel x pipeline_parallel GPUs of this node; vLLM would look for more through Ray."""
    count = manifest.target.count
    for path, service in manifest.services_of(ShardedService):
        stages = service.pipeline_parallel if isinstance(service, VllmService) else 1
        wanted = service.tensor_parallel * stages
        key = "tensor_parallel" if service.tensor_parallel > 1 else "pipeline_parallel"
        concerns = (("target", "count"), (*path, "pipeline_parallel"))
        if wanted > max(count, 1):
            because = f"the target has {count} GPUs" if count else "the target is the CPU"
            product = f"{service.tensor_parallel} x {stages} = {wanted} GPUs"
            yield Problem((*path, key), product, f"{max(count, 1)} at most", because, concerns=concerns)


def enough_memory_for_all(manifest: Manifest) -> Iterator[Problem]:
    """Services are given GPUs from the first on, so they share it: their shares of its memory sum up to 1 at most.

    gpu_memory_utilization is a share of all memory that the GPU has, whoever uses it (VW).
    """
    shares = [((*path, "gpu_memory_utilization"), s.gpu_memory_utilization) for path, s in
              manifest.services_of(VllmService)]  # fmt: skip
    shares += [((*path, "mem_fraction_static"), s.mem_fraction_static) for path, s in
               manifest.services_of(SglangService)]  # fmt: skip
    share = sum(one for _, one in shares)
    if manifest.target.count and len(shares) > 1 and share > 1:
        found, because = f"{share:.2f} over all services", "they share the first GPU"
        concerns = (("target",), ("serve",), ("services",))
        yield Problem(shares[-1][0], found, "1 at most", because, concerns=concerns)


def numbers(manifest: Manifest) -> Iterator[Problem]:
    """vLLM raises for bfloat16 below 8.0 (vllm#1157), and for quantizations that lack kernels (get_min_capability)."""
    gpu = capability(manifest.target)
    for path, one in manifest.services_of(ShardedService):
        if gpu and gpu < AMPERE and one.dtype == "bfloat16":
            because = f"compute capability {gpu} has no bfloat16"
            yield Problem((*path, "dtype"), "'bfloat16'", "half (fp16)", because, concerns=(("target",),))
    for path, service in manifest.services_of(VllmService):
        least = _QUANTIZATION_FROM.get(service.quantization or "")
        if gpu and least and gpu < least:
            because = f"it needs compute capability {least}, the target has {gpu}"
            expected = "another one, or none: then weights are fp16"
            found = shown(service.quantization)
            yield Problem((*path, "quantization"), found, expected, because, concerns=(("target",),))


def trained_is_not_quantized(manifest: Manifest) -> Iterator[Problem]:
    """awq, gptq and compressed-tensors read weights that were quantized before; a merged model's are not."""
    for path, service in manifest.services_of(VllmService):
        method = service.quantization or ""
        if service.model == TRAINED and method.startswith(("awq", "gptq", "compressed")):
            because = "what the training job makes is not quantized"
            expected = "fp8 or bitsandbytes, which quantize on loading, or none"
            yield Problem((*path, "quantization"), shown(method), expected, because, concerns=((*path, "model"),))


def reasoning(manifest: Manifest) -> Iterator[Problem]:
    """The version has the parser, or another one that does the same."""
    for path, service in manifest.services_of(VllmService):
        wanted = service.reasoning_parser
        if wanted and parser_for(wanted, service.vllm) is None:
            expected = f"one of {', '.join(parsers(service.vllm) or ())}"
            because = f"that is what vLLM {service.vllm} has"
            concerns = ((*path, "vllm"),)
            yield Problem((*path, "reasoning_parser"), shown(wanted), expected, because, concerns=concerns)
    for path, sglang in manifest.services_of(SglangService):
        wanted = sglang.reasoning_parser
        if wanted and sglang_parser(wanted, sglang.sglang) is None:
            expected = f"one of {', '.join(sglang_parsers(sglang.sglang) or ())}"
            concerns = ((*path, "sglang"),)
            because = f"that is what SGLang {sglang.sglang} has"
            yield Problem((*path, "reasoning_parser"), shown(wanted), expected, because, concerns=concerns)


def image_has_this_version(manifest: Manifest) -> Iterator[Problem]:
    """The tags of vllm/vllm-openai are its versions: a wrong `vllm:` would give the wrong flags."""
    for path, service in manifest.services_of(VllmService):
        image = manifest.images.get(service.image)
        if not isinstance(image, RegistryImage) or not image.registry.repository.endswith("vllm/vllm-openai"):
            continue
        try:
            tagged = Version.parse((image.registry.tag or "").partition("-")[0])
        except ValueError:
            continue
        if tagged != service.vllm:
            because = f"the image is '{image.registry}'"
            concerns = (("images", service.image), (*path, "image"))
            yield Problem((*path, "vllm"), str(service.vllm), str(tagged), because, concerns=concerns)


def has_code_for_it(manifest: Manifest) -> Iterator[Problem]:
    """vLLM's own kernels are compiled for Blackwell from 0.9.0 (sm_100) and 0.9.2 (sm_120)."""
    gpu = capability(manifest.target)
    for path, service in manifest.services_of(VllmService):
        for generation, since in _CODE_SINCE:
            if gpu and gpu >= generation:
                if service.vllm < since:
                    because = f"it has no code for compute capability {gpu}"
                    concerns = (("target",),)
                    yield Problem((*path, "vllm"), str(service.vllm), f"{since} or newer", because, concerns=concerns)
                break


def sglang_runs_there(manifest: Manifest) -> Iterator[Problem]:
    """SGLang needs a GPU of compute capability 7.5: FlashInfer's attention kernels start there."""
    gpu = capability(manifest.target)
    for path, service in manifest.services_of(SglangService):
        concerns = (("target",),)
        if not manifest.target.count:
            yield Problem((*path, "sglang"), "SGLang", "vLLM, or a target with GPUs", "the target is the CPU",
                          concerns=concerns)  # fmt: skip
        elif gpu and gpu < TURING:
            because = f"it needs compute capability {TURING}, the target has {gpu}"
            yield Problem((*path, "sglang"), str(service.sglang), "vLLM in its place", because, concerns=concerns)


def shares_an_image(manifest: Manifest) -> Iterator[Problem]:
    """LLaMA-Factory and vLLM in one image pin each other; 0.9.5 and vLLM 0.9 want different transformers."""
    train = manifest.train
    for path, service in manifest.services_of(VllmService):
        if not train or service.image != train.image:
            continue
        newest = next((vllm for version, vllm in _TOGETHER_UNTIL if train.llamafactory <= version), None)
        concerns = ((*path, "vllm"), ("train", "image"), ("train", "llamafactory"))
        because = f"LLaMA-Factory {train.llamafactory} in the same image does not go with vLLM {service.vllm}"
        if (newest and service.vllm > newest) or (not newest and service.vllm < _TOGETHER_FROM):
            yield Problem((*path, "image"), shown(service.image), "an image of its own", because, concerns=concerns)


def extra(manifest: Manifest) -> Iterator[Problem]:
    """`extra` repeats no flag that has its own key, carries no secret, and gives each flag a value."""
    for path, service in manifest.services_of(VllmService):
        inside = (*path, "extra")
        yield from chain(repeated(inside, service.extra, FLAGS), secret(inside, service.extra))
        for flag, value in service.extra.items():
            if value is None and not is_told(flag, FLAGS):
                yield Problem((*inside, flag), "nothing", "a value; true for a flag that takes none")
        for flag in service.extra if service.adapter else ():
            if flag.lstrip("-").replace("-", "_") in ("enable_lora", "lora_modules", "max_lora_rank"):
                yield Problem((*inside, flag), shown(flag), "nothing: 'adapter: train' sets it", at_key=True)
    for path, sglang in manifest.services_of(SglangService):
        inside = (*path, "extra")
        yield from chain(repeated(inside, sglang.extra, SGLANG_FLAGS), secret(inside, sglang.extra))
        for flag, value in sglang.extra.items():
            if (value is None or value is False) and not is_told(flag, SGLANG_FLAGS):
                because = "SGLang's flags have no '--no-' form" if value is False else ""
                yield Problem((*inside, flag), shown(value), "a value; true for a flag that takes none", because)


RULES = (
    enough_gpus,
    enough_memory_for_all,
    numbers,
    trained_is_not_quantized,
    reasoning,
    image_has_this_version,
    has_code_for_it,
    sglang_runs_there,
    shares_an_image,
    extra,
)
