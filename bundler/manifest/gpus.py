"""The GPUs that a manifest may name: memory and compute capability of each (NVIDIA's data sheets; CUDA GPUs list)."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

GB = 10**9
"""GPUs are sold in powers of ten; NVML reports as much or a little more (L20: 46068 MiB = 48.3 GB)."""


@dataclass(frozen=True, slots=True, order=True)
class Capability:
    """Compute capability: which machine code a GPU runs."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Capability:
        """Read `8.9`. Raises ValueError."""
        match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", text)
        if not match:
            raise ValueError(f"not a compute capability: {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A model of GPU, and the memory sizes in bytes that it is sold with, smallest first."""

    name: str
    capability: Capability
    memory: tuple[int, ...]


VOLTA, TURING = Capability(7, 0), Capability(7, 5)
AMPERE, AMPERE_86, ADA, HOPPER = Capability(8, 0), Capability(8, 6), Capability(8, 9), Capability(9, 0)
BLACKWELL, BLACKWELL_RTX = Capability(10, 0), Capability(12, 0)


def _gpu(name: str, capability: Capability, *gigabytes: int) -> Gpu:
    return Gpu(name, capability, tuple(size * GB for size in gigabytes))


GPUS: tuple[Gpu, ...] = (
    _gpu("V100", VOLTA, 16, 32),
    _gpu("T4", TURING, 16),
    _gpu("T10", TURING, 16),
    _gpu("A100", AMPERE, 40, 80),
    _gpu("A10", AMPERE_86, 24),
    _gpu("A40", AMPERE_86, 48),
    _gpu("RTX 3090", AMPERE_86, 24),
    _gpu("L4", ADA, 24),
    _gpu("L20", ADA, 48),
    _gpu("L40S", ADA, 48),
    _gpu("RTX 4090", ADA, 24),
    _gpu("H100", HOPPER, 80),
    _gpu("H20", HOPPER, 96, 141),
    _gpu("H200", HOPPER, 141),
    _gpu("B200", BLACKWELL, 180),
    _gpu("RTX 5060 Ti", BLACKWELL_RTX, 16),
    _gpu("RTX 5090", BLACKWELL_RTX, 32),
)

_BRANDS = re.compile(r"nvidia|geforce|tesla|rtx|[\s_-]")


def find(name: str) -> Gpu | None:
    """The GPU of this name; brand, case, spaces and hyphens don't matter (`NVIDIA GeForce RTX 5060 Ti`, `5060ti`)."""
    return next((gpu for gpu in GPUS if _key(gpu.name) == _key(name)), None)


def similar(name: str) -> str | None:
    """The known name that is most like this one."""
    by_key = {_key(gpu.name): gpu.name for gpu in GPUS}
    close = difflib.get_close_matches(_key(name), by_key, n=1)
    return by_key[close[0]] if close else None


def _key(name: str) -> str:
    return _BRANDS.sub("", name.lower())
