"""Versions, GPUs and the hardware floor that a target stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_cases import manifest

from bundler.manifest.gpus import GPUS, Capability, find, similar
from bundler.manifest.hardware import hardware
from bundler.manifest.lock import Hardware
from bundler.manifest.reasoning import parser_for
from bundler.manifest.version import Version

ORDER = [
    "0.8.5.dev1",
    "0.8.5a1",
    "0.8.5b2",
    "0.8.5rc1",
    "0.8.5rc2",
    "0.8.5",
    "0.8.5.post1",
    "0.9.0",
    "0.9.10",
    "0.10.0",
]


@given(st.permutations(ORDER))
def test_versions_sort_as_python_packages_do(shuffled: list[str]) -> None:
    assert [str(version) for version in sorted(map(Version.parse, shuffled))] == ORDER


def test_the_same_version_written_in_two_ways_is_one() -> None:
    assert Version.parse("v0.9") == Version.parse("0.9.0") == Version.parse("0.9.0+cu126")
    assert hash(Version.parse("0.9")) == hash(Version.parse("0.9.0"))


@pytest.mark.parametrize("text", ["", "latest", "0.9.x", "0..9", "1.0 ", "١.٢", "0.9.3\n"])
def test_what_is_no_version_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        Version.parse(text)


@pytest.mark.parametrize("name", ["RTX 5060 Ti", "5060ti", "NVIDIA GeForce RTX 5060 Ti", "rtx-5060-ti"])
def test_a_gpu_is_found_however_its_name_is_written(name: str) -> None:
    gpu = find(name)
    assert gpu is not None
    assert gpu.name == "RTX 5060 Ti"


def test_every_gpu_is_found_by_its_own_name_and_by_no_other() -> None:
    assert [find(gpu.name) for gpu in GPUS] == list(GPUS)
    assert find("A1000") is None
    assert similar("L2O") == "L20"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"gpu": "L20", "count": 4}, Hardware(4, "L20", 48 * 10**9, "8.9", "525")),
        ({"gpu": "nvidia l20", "memory": "48GiB", "count": 4}, Hardware(4, "L20", 48 * 10**9, "8.9", "525")),
        ({"gpu": "A100", "count": 4}, Hardware(4, "A100", 40 * 10**9, "8.0", "525")),
        ({"gpu": "A100", "count": 4, "memory": "80GB"}, Hardware(4, "A100", 80 * 10**9, "8.0", "525")),
        (
            {"gpu": "X1", "count": 4, "memory": "1GiB", "capability": "8.7", "driver": "550"},
            Hardware(4, "X1", 1 << 30, "8.7", "550"),
        ),
    ],
)
def test_the_floor_is_never_above_what_the_gpu_reports(
    tmp_path: Path, target: dict[str, Any], expected: Hardware
) -> None:
    assert hardware(manifest(tmp_path, {"target": target}).target) == expected


def test_no_target_asks_for_no_gpu(tmp_path: Path) -> None:
    assert hardware(manifest(tmp_path, {"target": {"count": 0}, "serve.tensor_parallel": 1}).target) == Hardware()


def test_capabilities_compare_as_numbers() -> None:
    assert Capability.parse("12.0") > Capability.parse("9.0") > Capability.parse("8.9")


@pytest.mark.parametrize(
    ("wanted", "version", "given_"),
    [
        ("qwen3", "0.8.5.post1", "deepseek_r1"),
        ("qwen3", "0.9.0", "qwen3"),
        ("granite", "0.8.5", "granite"),
        ("openai_gptoss", "0.9.2", None),
        ("openai_gptoss", "0.32.0", "openai_gptoss"),
    ],
)
def test_the_reasoning_parser_follows_the_version(wanted: str, version: str, given_: str | None) -> None:
    assert parser_for(wanted, Version.parse(version)) == given_
