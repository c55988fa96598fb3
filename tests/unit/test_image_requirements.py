"""Versions that pip installs together and that then fail behind the gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_cases import changed, findings, write

from bundler.core.reference import Reference
from bundler.manifest.findings import Finding
from bundler.manifest.loader import load
from bundler.manifest.pins import read_pins
from bundler.manifest.rules import bases
from bundler.manifest.version_sets import BASES, SETS, VersionSet
from scripts import version_table


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["llamafactory==0.9.3", "transformers==4.57.0"], "requirements.in:2), expected transformers>=4.45,<=4.52.4"),
        (["llamafactory==0.9.3", "transformers>=4.51"], "transformers without a version"),
        (["llamafactory==0.9.3", "numpy==2.1.0"], "expected numpy<2"),
        (["llamafactory==0.9.3", "deepspeed==0.17.0"], "deepspeed<=0.16.9"),
        (["llamafactory==0.9.3", "pyarrow==26.0.1"], "pyarrow<22"),
        (["llamafactory==0.9.4", "peft==0.18.1"], "peft>=0.14,<=0.17.1"),
        (["llamafactory==0.9.4", "deepspeed==0.17.0"], "deepspeed<=0.16.9"),
        (["llamafactory==0.9.5", "trl==0.9.6"], "trl>=0.18,<=0.24.0"),
        (["llamafactory==0.9.5", "accelerate==1.12.0"], "accelerate>=1.3,<=1.11.0"),
        (["llamafactory==0.9.5", "datasets==4.1.0"], "datasets>=2.16,<=4.0.0"),
        (["vllm==0.8.5.post1", "torch==2.7.0"], "torch==2.6.0"),
        (["vllm==0.9.2", "transformers==4.55.0"], "transformers<4.54"),
        (["sglang==0.4.6.post5", "transformers==4.51.3"], "transformers==4.51.1"),
        (["vllm==0.8.5", "sglang==0.4.6.post1"], "an image for each"),
    ],
)
def test_an_image_of_versions_that_fail_together_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    path = write(tmp_path, changed({}))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.in").write_text("\n".join(lines))
    assert any(words in str(one) for one in findings(path) if one.path == "images.train.dockerfile")


@pytest.mark.parametrize(
    ("base", "lines", "words"),
    [
        ("2.6.0-cuda12.6-cudnn9-devel", ["torch==2.6.0", "vllm==0.8.5.post1"], "vllm/vllm-openai:v0.8.5.post1"),
        ("2.6.0-cuda12.6-cudnn9-devel", ["sgl-kernel==0.1.0"], "old C++ ABI"),
        ("2.7.0-cuda12.8-cudnn9-devel", ["torch==2.6.0"], "the base brings 2.7.0"),
        ("2.7.0-cuda12.8-cudnn9-devel", [], "the requirements are for cuda12.6-torch2.6"),
        ("2.6.0-cuda12.4-cudnn9-devel", ["torch==2.6.0"], "expected pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel"),
        (
            f"2.6.0-cuda12.4-cudnn9-devel@sha256:{'0' * 64}",
            ["torch==2.6.0"],
            "the base brings PyTorch 2.6.0 for CUDA 12.4",
        ),
    ],
)
@pytest.mark.parametrize("registry", ["", "mirror.example/docker.io/"])
def test_a_base_whose_pytorch_the_requirements_can_not_use_is_refused(
    tmp_path: Path, base: str, lines: list[str], words: str, registry: str
) -> None:
    path = write(tmp_path, changed({"images.train.base": f"{registry}pytorch/pytorch:{base}"}))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.in").write_text("\n".join(lines))
    assert any(words in str(one) for one in findings(path))


def test_requirements_that_go_together_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, changed({}))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.txt").write_text(
        "# pinned\nllamafactory==0.9.3 \\\n    --hash=sha256:00\ntransformers==4.51.3 \\\n    --hash=sha256:00\n"
    )
    load(path)


FITS = "flash_attn-2.7.4.post1+cu12torch2.6cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"


@pytest.mark.parametrize(
    ("part", "other", "words"),
    [
        ("abiTRUE", "abiFALSE", "a wheel for cxx11abiTRUE"),
        ("torch2.6", "torch2.7", "a wheel for PyTorch 2.6"),
        ("cu12", "cu11", "a wheel for CUDA 12"),
        ("cp311-cp311", "cp310-cp310", "a wheel for Python 3.11"),
    ],
)
@pytest.mark.parametrize("how", ["argument", "file", "requirement"])
def test_a_wheel_that_was_built_for_another_pytorch_is_refused(
    tmp_path: Path, part: str, other: str, words: str, how: str
) -> None:
    """It installs, and its import ends in an undefined symbol, behind the gap."""
    assert not any("a wheel for" in str(one) for one in _with_wheel(tmp_path, FITS, how))
    found = _with_wheel(tmp_path, FITS.replace(part, other), how)
    assert any(words in str(one) for one in found)


def _with_wheel(directory: Path, wheel: str, how: str) -> tuple[Finding, ...]:
    changes: dict[str, Any] = {"nobody.knows": "this key"}  # so that there is a finding in any case
    if how == "argument":
        changes["images.train.arguments"] = {"flash_attn": wheel}
    elif how == "file":
        (directory / wheel).touch()
        changes["images.train.files"] = {"flash-attn": wheel}
    path = write(directory, changed(changes))
    if how == "requirement":
        line = f"flash-attn @ https://wheels.example/{wheel.replace('+', '%2B')}\n"
        (directory / "cuda12.6-torch2.6" / "requirements.in").write_text(line)
    return findings(path)


@given(name=st.from_regex(r"[a-z_]{1,8}-[0-9.]{1,6}(\+[a-zA-Z0-9.]{1,20})?(-[a-z0-9_]{1,6}){3}\.whl", fullmatch=True))
def test_the_name_of_any_wheel_is_taken_or_refused_and_never_breaks_the_check(name: str) -> None:
    assert all(found and wanted for found, wanted in bases.unfit(name, BASES[1]))


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_the_table_of_sets_says_what_the_dockerfiles_hold(one: VersionSet) -> None:
    pins = read_pins(Path(__file__).parents[2] / "dockerfiles" / one.name)
    assert {name: pins[name].version for name, _ in one.packages} == dict(one.packages)
    assert pins["torch"].version == one.torch
    base = bases.base_of(Reference.parse(one.base))
    assert base
    assert (base.torch, base.cuda) == (one.torch, one.cuda)


def test_the_page_of_versions_says_what_the_table_says() -> None:
    assert version_table.PAGE.read_text() == version_table.page(version_table.PAGE.read_text())
