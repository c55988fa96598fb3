"""Which GPUs an image has code for: the architectures that its PyTorch was compiled for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bundler.manifest.gpus import Capability
from bundler.manifest.lock import LockedImage
from bundler.manifest.version_sets import SETS


@dataclass(frozen=True, slots=True)
class Code:
    """Compiled code: for these capabilities, and as PTX, which a driver compiles for any GPU from `ptx` on."""

    of: str
    compiled: tuple[Capability, ...]
    ptx: Capability | None = None

    def runs_on(self, gpu: Capability) -> bool:
        """A binary for X.y runs on X.z where z >= y; PTX runs on all later ones (CUDA programming guide, 5.1)."""
        binary = any(code.major == gpu.major and code.minor <= gpu.minor for code in self.compiled)
        return binary or (self.ptx is not None and gpu >= self.ptx)

    def __str__(self) -> str:
        return f"{self.of} ({' '.join(f'sm_{code.major}{code.minor}' for code in self.compiled)})"


def _capabilities(text: str) -> tuple[Capability, ...]:
    return tuple(Capability.parse(word) for word in text.split())


_UNTIL_HOPPER = _capabilities("5.0 6.0 7.0 7.5 8.0 8.6 9.0")
_WITH_BLACKWELL = _capabilities("7.5 8.0 8.6 9.0 10.0 12.0")
_TORCH: Mapping[tuple[str, str], tuple[tuple[Capability, ...], Capability | None]] = {
    ("2.6", "12.4"): (_UNTIL_HOPPER, None),
    ("2.6", "12.6"): (_UNTIL_HOPPER, None),
    ("2.7", "12.6"): (_UNTIL_HOPPER, None),
    ("2.7", "12.8"): (_WITH_BLACKWELL, Capability(12, 0)),
}
"""PyTorch's wheels by their version and CUDA: torch.cuda.get_arch_list(), and the fatbin headers of the wheels."""
_VLLM: tuple[tuple[str, str, str], ...] = (("0.8.", "2.6.0", "12.4"), ("0.9.2", "2.7.0", "12.8"))
"""The PyTorch in images of vllm/vllm-openai, by the start of the tag (the wheels' METADATA)."""
_BASE = re.compile(r"pytorch/pytorch:([0-9.]+)-cuda([0-9.]+)-")
_CUDA = re.compile(r"[0-9]+(\.[0-9]+)?")
_VLLM_TAG = re.compile(r"vllm/vllm-openai:v([0-9][^@\s]*)")


def versions(image: LockedImage, environment: Mapping[str, str]) -> tuple[str, str]:
    """The PyTorch and the CUDA (`2.6.0`, `12.6`) of an image, each empty where nothing tells.

    Asked in turn: what it was built on, the tag that it came by, the variables of its config.
    """
    built_on = _BASE.search(image.build.base if image.build else image.source)
    if built_on:
        return built_on[1], built_on[2]
    tag = _VLLM_TAG.search(image.source)
    for start, torch, cuda in _VLLM if tag else ():
        if tag and tag[1].startswith(start):
            return torch, cuda
    packages = image.build.packages if image.build else {}
    torch, _, local = packages.get("torch", environment.get("PYTORCH_VERSION", "")).partition("+")
    stated = _CUDA.match(environment.get("CUDA_VERSION", ""))
    cuda = stated[0] if stated else ""
    if match := re.fullmatch(r"cu([0-9]{2})([0-9])", local):
        cuda = f"{match[1]}.{match[2]}"
    return torch, cuda


def code_of(torch: str, cuda: str) -> Code | None:
    """What a PyTorch has code for; None where it is not known."""
    found = _TORCH.get((".".join(torch.split(".")[:2]), cuda))
    return Code(f"PyTorch {torch} for CUDA {cuda}", *found) if found else None


def sets_for(gpu: Capability) -> tuple[str, ...]:
    """The image sets of this program that have code for a GPU."""
    return tuple(each.name for each in SETS if (code := code_of(each.torch, each.cuda)) and code.runs_on(gpu))
