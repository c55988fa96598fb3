"""Stages, methods and distributions, down to the files that LLaMA-Factory, DeepSpeed and accelerate read.

UPDATE_GOLDEN=1 writes them anew. tests/integration/test_llamafactory_parser.py gives them to the parser itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from manifest_cases import manifest
from training_matrix import MATRIX

from bundler.workloads.graph import workloads

GOLDEN = Path(__file__).parents[1] / "golden" / "training"
_LEFT_OUT = {"dataset_info.json", "deepspeed.json"}
"""Each has tests of its own, and would be here the same many times over."""


@pytest.mark.parametrize("name", MATRIX)
def test_what_a_training_is_told_changes_only_on_purpose(tmp_path: Path, name: str) -> None:
    lines = []
    for workload in workloads(manifest(tmp_path, MATRIX[name])):
        lines.append(f"# {workload.name}: {' '.join(workload.command)}")
        if workload.is_service:
            lines.append(f"on {workload.mounts[0].source}")
            continue
        lines += [f"{key}={value}" for key, value in workload.environment.items() if "OFFLINE" not in key]
        for file, text in workload.files.items():
            lines.append(f"\n## {file}" if file in _LEFT_OUT else f"\n## {file}\n{text.rstrip()}")
        lines.append("")
    golden, text = GOLDEN / f"{name}.txt", "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_no_golden_file_outlives_its_training() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(MATRIX)
