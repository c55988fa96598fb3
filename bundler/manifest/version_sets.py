"""Versions that go together, as data: what a package holds its neighbours to. Each row carries its source.

LF is LLaMA-Factory's setup.py and extras/misc.py at the version named. Nothing here was run on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """Beside `package` at a version in `versions`, `neighbour` must be in `allowed` (both PEP 440 specifiers)."""

    package: str
    versions: str
    neighbour: str
    allowed: str
    source: str


_NOT_4_52 = "!=4.46.*,!=4.47.*,!=4.48.0,!=4.52.0,!=4.52.1"
"""LF 0.9.3's own exceptions (its METADATA), and 4.52.1, with which somebody's merged model answered garbage."""

BOUNDS: tuple[Bound, ...] = (
    Bound("llamafactory", "==0.9.2", "transformers", "<=4.49", "LF 0.9.2"),
    Bound("llamafactory", "==0.9.2", "peft", "<=0.12", "LF 0.9.2"),
    Bound("llamafactory", "==0.9.2", "trl", "<=0.9.6", "LF 0.9.2"),
    Bound("llamafactory", "==0.9.2", "accelerate", "<=1.2.1", "LF 0.9.2"),
    Bound("llamafactory", "==0.9.2", "vllm", "<=0.7.3", "LF 0.9.2"),
    Bound("llamafactory", "==0.9.3", "transformers", f">=4.45,<=4.52.4,{_NOT_4_52}", "LF 0.9.3; LF#8501 of 4.52.1"),
    Bound("llamafactory", "==0.9.3", "peft", ">=0.14,<=0.15.2", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "trl", ">=0.8.6,<=0.9.6", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "accelerate", ">=0.34,<=1.7.0", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "datasets", "<=3.6.0", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "numpy", "<2", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "pydantic", "<=2.10.6", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.3", "deepspeed", "<=0.16.9", "LF 0.9.3, which checks it when it starts"),
    Bound("llamafactory", "==0.9.3", "pyarrow", "<22", "pyarrow 26 refuses numpy 1, which LF 0.9.3 needs"),
    Bound("llamafactory", "==0.9.3", "vllm", "<=0.8.6", "LF 0.9.3"),
    Bound("llamafactory", "==0.9.4", "transformers", ">=4.51,<=4.57.1", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "peft", ">=0.14,<=0.17.1", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "trl", ">=0.18,<=0.24.0", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "accelerate", ">=1.3,<=1.11.0", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "datasets", ">=2.16,<=4.0.0", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "torch", ">=2.4", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.4", "deepspeed", "<=0.16.9", "LF 0.9.4, which checks it when it starts"),
    Bound("llamafactory", "==0.9.4", "vllm", "<=0.11.0", "LF 0.9.4"),
    Bound("llamafactory", "==0.9.5", "transformers", ">=4.55,<=5.6", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "peft", ">=0.18,<=0.18.1", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "trl", ">=0.18,<=0.24.0", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "accelerate", ">=1.3,<=1.11.0", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "datasets", ">=2.16,<=4.0.0", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "torch", ">=2.4", "LF 0.9.5"),
    Bound("llamafactory", "==0.9.5", "vllm", ">=0.10", "LF 0.9.5 wants transformers 4.55, vLLM 0.9 less than 4.54"),
    Bound("vllm", ">=0.9,<0.10", "transformers", "<4.54", "vLLM 0.9's releases; gpustack#2665"),
    Bound("vllm", "==0.7.3", "torch", "==2.5.1", "the wheel's METADATA"),
    Bound("vllm", ">=0.8.4,<=0.8.5.post1", "torch", "==2.6.0", "the wheels' METADATA"),
    Bound("vllm", ">=0.9.0,<=0.9.2", "torch", "==2.7.0", "the wheels' METADATA"),
    Bound("sglang", ">=0.4.6.post1,<=0.4.6.post5", "torch", "==2.6.0", "the wheels' METADATA"),
    Bound("sglang", ">=0.4.6.post1,<=0.4.6.post5", "transformers", "==4.51.1", "the wheels' METADATA"),
)

APART: tuple[tuple[str, str, str], ...] = (("vllm", "sglang", "they pin different versions of xgrammar"),)
"""Packages that no image holds both of, and why (the wheels' METADATA)."""


@dataclass(frozen=True, slots=True)
class Base:
    """What an image of pytorch/pytorch brings. `new_abi`: whether its PyTorch has the C++11 ABI; None: not known."""

    torch: str
    cuda: str
    new_abi: bool | None = None
    python: str = "3.11"


BASES: tuple[Base, ...] = (Base("2.6.0", "12.4", new_abi=False), Base("2.6.0", "12.6", new_abi=True))
"""Of the PyTorch builds, those whose ABI was read (symbols of the wheels: 2.6.0+cu124, the index's, and +cu126)."""

OLD_ABI: tuple[tuple[str, str], ...] = (("vllm", ">=0.8.4,<=0.8.5.post1"), ("sgl-kernel", ">=0.1.0,<=0.1.4"))
"""Packages whose wheels want the old C++ ABI (symbols of the wheels, of sgl-kernel 0.1.0 and 0.1.4; vllm#13608)."""


@dataclass(frozen=True, slots=True)
class VersionSet:
    """Versions that were resolved together, for the dockerfile of this name. `gpus` have code in all of its wheels."""

    name: str
    cuda: str
    torch: str
    base: str
    packages: tuple[tuple[str, str], ...]
    gpus: str
    serving: str = ""


SETS: tuple[VersionSet, ...] = (
    VersionSet(
        "cuda12.6-torch2.6",
        cuda="12.6",
        torch="2.6.0",
        base="pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel",
        packages=(
            ("llamafactory", "0.9.3"),
            ("transformers", "4.51.3"),
            ("deepspeed", "0.16.9"),
            ("bitsandbytes", "0.46.0"),
            ("liger-kernel", "0.5.10"),
        ),
        gpus="V100 to H200",  # sm 50 60 70 75 80 86 90 (fatbin headers of the wheel)
        serving="vllm/vllm-openai:v0.8.5.post1",
    ),
    VersionSet(
        "cuda12.8-torch2.7",
        cuda="12.8",
        torch="2.7.0",
        base="pytorch/pytorch:2.7.0-cuda12.8-cudnn9-devel",
        packages=(
            ("llamafactory", "0.9.3"),
            ("transformers", "4.52.4"),
            ("deepspeed", "0.16.9"),
            ("bitsandbytes", "0.46.1"),
            ("liger-kernel", "0.6.0"),
        ),
        gpus="T4 to H200, B200, RTX 50",  # sm 75 80 86 90 100 120, and no V100
        serving="vllm/vllm-openai:v0.9.2",  # 0.9.0 and 0.9.1 have no sm_120
    ),
    VersionSet(
        "cuda12.4-torch2.6-sglang0.4.6",
        cuda="12.4",
        torch="2.6.0",
        base="pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel",
        packages=(("transformers", "4.51.1"), ("sglang", "0.4.6.post5"), ("sgl-kernel", "0.1.4")),
        gpus="T4 to H200",
    ),
)
"""The sets of dockerfiles/. Tests hold each to its requirements, and the table of docs/versions.md to these."""
