"""The target: is the GPU known, and do the images have code for it?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bundler.core.size import format_size
from bundler.manifest.artifacts import DockerfileImage, RegistryImage
from bundler.manifest.findings import KeyPath, Problem, shown
from bundler.manifest.gpus import BLACKWELL, GPUS, TURING, find, similar
from bundler.manifest.hardware import capability, sold_size
from bundler.manifest.schema import Manifest

_CUDA = re.compile(r"cu(?:da)?-?(\d{2})\.?(\d)")


def known_gpu(manifest: Manifest) -> Iterator[Problem]:
    """The GPU is in our table, or its memory and capability are given."""
    target = manifest.target
    if target.count == 0 or (target.memory and target.capability):
        return
    if target.gpu is None:
        because = "there are GPUs, and nothing says which"
        yield Problem(("target",), "no 'gpu'", "'gpu', or 'memory' and 'capability'", because, at_key=True)
    elif find(target.gpu) is None:
        names = ", ".join(gpu.name for gpu in GPUS)
        yield Problem(
            ("target", "gpu"),
            shown(target.gpu),
            f"one of {names}; or any, with 'memory' and 'capability' beside it",
            suggestion=similar(target.gpu) or "",
        )


def no_gpu_on_cpu(manifest: Manifest) -> Iterator[Problem]:
    """A target without GPUs says nothing about GPUs."""
    target = manifest.target
    for key in ("gpu", "memory", "capability", "driver"):
        if target.count == 0 and getattr(target, key) is not None:
            yield Problem(
                ("target", key),
                "a GPU's property",
                "nothing, or a count above 0",
                "count is 0: the CPU",
                concerns=(("target", "count"),),
                at_key=True,
            )


def agrees_with_the_table(manifest: Manifest) -> Iterator[Problem]:
    """Memory and capability that are given are those of the GPU that is named."""
    target = manifest.target
    gpu = find(target.gpu) if target.gpu else None
    if not gpu or not target.count:
        return
    if target.memory and sold_size(gpu, target.memory) is None:
        sizes = " or ".join(format_size(size) for size in gpu.memory)
        yield Problem(("target", "memory"), format_size(target.memory), sizes, f"that is what {gpu.name} is sold with")
    if target.capability and target.capability != gpu.capability:
        yield Problem(("target", "capability"), str(target.capability), f"{gpu.capability}, that of {gpu.name}")


def images_have_code_for_it(manifest: Manifest) -> Iterator[Problem]:
    """PyTorch for CUDA 12.6 and older has no sm_100 or sm_120; that for 12.8 has no sm_70.

    Read from the wheels: 2.6.0 cu124/cu126 and 2.7.0 cu126 hold 50 60 70 75 80 86 90, 2.7.0 cu128 holds 75 80 86 90
    100 120 (fatbin headers of the published wheels; vllm#16901, #18995). The CUDA version is taken from the names.
    """
    gpu = capability(manifest.target)
    if gpu is None:
        return
    for path, name in _image_names(manifest):
        match = _CUDA.search(name)
        if not match:
            continue
        cuda = (int(match[1]), int(match[2]))
        because = f"{manifest.target.gpu or 'the target'} has compute capability {gpu}"
        if gpu >= BLACKWELL and cuda < (12, 8):
            yield Problem(path, f"CUDA {cuda[0]}.{cuda[1]}", "CUDA 12.8 or newer", because, concerns=(("target",),))
        elif gpu < TURING and cuda >= (12, 8):
            yield Problem(path, f"CUDA {cuda[0]}.{cuda[1]}", "CUDA 12.6 or older", because, concerns=(("target",),))


def _image_names(manifest: Manifest) -> Iterator[tuple[KeyPath, str]]:
    for name, image in manifest.images.items():
        if isinstance(image, DockerfileImage):
            yield ("images", name, "dockerfile"), image.dockerfile.resolved.name
            yield ("images", name, "base"), str(image.base)
        elif isinstance(image, RegistryImage):
            yield ("images", name, "registry"), image.registry.tag or ""


RULES = (known_gpu, no_gpu_on_cpu, agrees_with_the_table, images_have_code_for_it)
