"""Versions that pip installs together and that then fail behind the gap."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_cases import changed, findings, write

from bundler.manifest.loader import load


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
    ],
)
def test_a_base_whose_pytorch_the_requirements_can_not_use_is_refused(
    tmp_path: Path, base: str, lines: list[str], words: str
) -> None:
    path = write(tmp_path, changed({"images.train.base": f"pytorch/pytorch:{base}"}))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.in").write_text("\n".join(lines))
    assert any(words in str(one) for one in findings(path))


def test_requirements_that_go_together_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, changed({}))
    (tmp_path / "cuda12.6-torch2.6" / "requirements.txt").write_text(
        "# pinned\nllamafactory==0.9.3 \\\n    --hash=sha256:00\ntransformers==4.51.3 \\\n    --hash=sha256:00\n"
    )
    load(path)
