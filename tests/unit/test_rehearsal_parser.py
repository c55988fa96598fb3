"""The probe of a training reads its YAML as one process: DeepSpeed and several GPUs are LLaMA-Factory's launcher's.

On a machine with the GPUs each rehearsal would block otherwise, over a bundle that trains.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.rehearsal.report import Parsed, Report, parse
from bundler.rehearsal.trial import scripts

PARSER = """
import json, os, sys
def read_args():
    with open(sys.argv[1]) as file:
        return json.load(file)
def get_train_args(asked):
    if len(os.environ.get("CUDA_VISIBLE_DEVICES", "0,1,2,3").split(",")) > 1:
        raise ValueError("Please launch distributed training with `llamafactory-cli` or `torchrun`.")
    if asked.get("deepspeed"):
        raise ValueError("Please use `FORCE_TORCHRUN=1` to launch DeepSpeed training.")
    if asked.get("fp16") and asked.get("use_cpu"):
        raise ValueError("FP16 Mixed precision training can only be used on GPU devices")
    return []
"""
"""What LLaMA-Factory 0.9.3 refuses (hparams/parser.py, read_args and get_train_args) on a machine with four GPUs."""


def asked(directory: Path, *, without_gpus: bool) -> Report:
    package = directory / "llamafactory" / "hparams"
    package.mkdir(parents=True)
    for name, text in scripts().items():
        (directory / name).write_text(text)
    (directory / "llamafactory" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "parser.py").write_text(PARSER)
    (directory / "train.yaml").write_text(json.dumps({"stage": "sft", "deepspeed": "z3.json", "fp16": True}))
    plan = {
        "kind": "train", "program": "no-such-program", "arguments": ["llamafactory-cli", str(directory / "train.yaml")],
        "packages": [], "imports": [], "without_gpus": without_gpus,
    }  # fmt: skip
    (directory / "plan.json").write_text(json.dumps(plan))
    environment = {"BUNDLE_PLAN": str(directory / "plan.json"), "BUNDLE_REPORT": str(directory)}
    subprocess.run(
        [sys.executable, directory / "probe.py"], env={**os.environ, **environment}, check=True, capture_output=True
    )
    return parse((directory / "probe.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("without_gpus", "aside"), [(False, ("deepspeed",)), (True, ("deepspeed", "fp16"))], ids=["GPUs", "CPU"]
)
def test_its_yaml_is_taken_with_and_without_gpus(tmp_path: Path, without_gpus: bool, aside: tuple[str, ...]) -> None:
    found = asked(tmp_path, without_gpus=without_gpus)
    assert "arguments" not in found.failures
    assert next(found.all(Parsed)).aside == aside
