"""What a manifest renders, as questions to LLaMA-Factory's own parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bundler.manifest.lock import Workload
from bundler.manifest.schema import Manifest
from bundler.workloads.evaluation import evaluations
from bundler.workloads.graph import workloads
from scripts.world.trainer import pinned

PARSER = "parser_of_llamafactory.py"
_READ = {"train.yaml": True, "evaluate.yaml": True, "merge.yaml": False, "api.yaml": False}
"""The files that it reads, and whether as arguments of a training."""

ASKED_FOR = ("matplotlib", "liger-kernel", "jieba", "nltk", "rouge-chinese")
"""Packages of the image whose version alone the parser looks at: here they are none but that."""

INSTALLED = {name.replace("rouge-chinese", "rouge_chinese"): pinned()[name] for name in ASKED_FOR} | {"unsloth": "1"}


def questions(manifest: Manifest, directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each YAML of a manifest's jobs and services, and whose it is. `directory` takes their other files."""
    for workload in (*workloads(manifest), *evaluations(manifest)):
        for file, trains in _READ.items():
            if file in workload.files:
                yield workload.name, question(workload, file, directory, trains=trains)


def question(workload: Workload, file: str, directory: Path, *, trains: bool) -> dict[str, Any]:
    """A YAML as it is, but for the machine: no GPU is here, and files lie elsewhere."""
    arguments = yaml.safe_load(workload.files[file])
    if "deepspeed" in arguments:
        arguments["deepspeed"] = str(directory / "deepspeed.json")
        Path(arguments["deepspeed"]).write_text(workload.files["deepspeed.json"])
    if trains:
        arguments |= {"use_cpu": True, "fp16": False, "output_dir": str(directory / "output")}
    distributed = trains and ("FORCE_TORCHRUN" in workload.environment or workload.command[0] == "accelerate")
    return {"arguments": arguments, "trains": trains, "distributed": distributed, "installed": INSTALLED}
