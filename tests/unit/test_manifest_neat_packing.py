"""LLaMA-Factory 0.9.4 ends behind the gap on neat_packing with a newer transformers: the manifest is refused before."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifest_cases import changed, findings, write

from bundler.manifest.loader import load


def manifest(directory: Path, llamafactory: str, transformers: str, **train: object) -> Path:
    path = write(
        directory, changed({"train.llamafactory": llamafactory, **{f"train.{k}": v for k, v in train.items()}})
    )
    requirements = f"llamafactory=={llamafactory}\ntransformers{transformers}\n"
    (directory / "cuda12.6-torch2.6/requirements.txt").write_text(requirements)
    return path


@pytest.mark.parametrize("transformers", ["==4.53.0", "==4.57.1"])
def test_what_llamafactory_0_9_4_refuses_is_refused_with_the_line_that_pins_it(
    tmp_path: Path, transformers: str
) -> None:
    (found,) = findings(manifest(tmp_path, "0.9.4", transformers, neat_packing=True))
    assert found.path == "train.neat_packing"
    assert f"transformers {transformers[2:]} (cuda12.6-torch2.6/requirements.txt:2)" in found.because
    assert "packing: true" in found.expected


@pytest.mark.parametrize(
    ("llamafactory", "transformers", "train"),
    [
        ("0.9.4", "==4.52.4", {"neat_packing": True}),
        ("0.9.4", "==4.57.1", {"packing": True}),
        ("0.9.5", "==4.57.1", {"neat_packing": True}),
    ],
)
def test_what_it_takes_is_taken(tmp_path: Path, llamafactory: str, transformers: str, train: dict[str, object]) -> None:
    assert load(manifest(tmp_path, llamafactory, transformers, **train)).train
