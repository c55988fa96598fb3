"""Which requirements are locked, and how: data, and the command made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PYTHON = "3.11"
PLATFORM = "x86_64-manylinux_2_28"
"""Wheels that run with the C library of 2018 and later, so also on the base images' Ubuntu 22.04 (2.35)."""

_CUDA = (
    "cublas", "cuda-cupti", "cuda-nvrtc", "cuda-runtime", "cudnn", "cufft", "cufile", "curand", "cusolver", "cusparse",
    "cusparselt", "nccl", "nvjitlink", "nvtx",
)  # fmt: skip
BASE = ("torch", "torchvision", "triton", *(f"nvidia-{name}-cu12" for name in _CUDA))
"""What pytorch/pytorch brings, built for its CUDA: resolved with the rest, and not locked."""


@dataclass(frozen=True, slots=True)
class PinSet:
    """Requirements and their lock. `sources` have no wheel for this platform in the index, and are built.

    `newest` is a day (UTC) after which nothing counts as published: for a project that leaves its neighbours unpinned.
    """

    directory: str
    name: str = "requirements"
    deps: bool = True
    base: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    platform: str = PLATFORM
    newest: str = ""

    def written(self, root: Path) -> Path:
        """What a person wrote."""
        return root / self.directory / f"{self.name}.in"

    def locked(self, root: Path) -> Path:
        """What it resolves to, with the hashes of each file of each package."""
        return root / self.directory / f"{self.name}.txt"


_TRAINING = ("deepspeed", "fire", "jieba")
SETS = (
    PinSet("cuda12.6-torch2.6", base=BASE, sources=_TRAINING),
    PinSet("cuda12.8-torch2.7", base=BASE, sources=_TRAINING),
    PinSet("cuda12.4-torch2.6-sglang0.4.6", base=BASE, sources=("flashinfer-python",), newest="2025-06-01"),
    PinSet("include", "build-tools", deps=False),
    PinSet("include", "torch-cpu", deps=False),
    PinSet("cpu-train", deps=False, sources=_TRAINING),
    PinSet("cpu-serve", deps=False, platform="x86_64-manylinux_2_36"),  # Debian 12; llguidance asks for 2.31
)


def command(uv: str, pins: PinSet, root: Path, output: Path) -> tuple[str, ...]:
    """The command that resolves a set into `output`; versions that stand there are kept where they still fit.

    Only wheels for the platform count, but for `sources`: a pin that has none ends the resolution with its name.
    """
    return (
        uv, "pip", "compile", "--quiet", "--native-tls", "--no-annotate", "--no-header", "--generate-hashes",
        "--python-version", PYTHON, "--python-platform", pins.platform,
        *(() if pins.deps else ("--no-deps",)),
        *(("--exclude-newer", pins.newest) if pins.newest else ()),
        "--only-binary", ":all:",
        *(part for name in pins.sources for part in ("--no-binary", name)),
        *(part for name in pins.base for part in ("--no-emit-package", name)),
        str(pins.written(root)), "--output-file", str(output),
    )  # fmt: skip
