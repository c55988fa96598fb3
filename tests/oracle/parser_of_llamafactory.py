"""LLaMA-Factory's own parser as a judge: reads cases as JSON lines, answers with one verdict a line.

Runs in an environment that has llamafactory and what it imports, not in this project's. See docs/limits.md.
A case: {"arguments": {members of the YAML}, "trains": true, "distributed": true, "installed": {package: version}}.
A verdict: {"error": null | "ValueError: ...", "read": {argument: what the parser made of it}}.

Each case has a process of its own, forked once everything is imported: what one leaves behind (accelerate's state,
DeepSpeed's configuration, variables) would change the verdict on the next.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import warnings
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "LLAMAFACTORY_VERBOSITY": "CRITICAL"}
os.environ |= {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
warnings.filterwarnings("ignore")

_OUT = os.dup(1)
with open(os.devnull, "w") as nowhere:
    os.dup2(nowhere.fileno(), 1)  # for verdicts alone, whatever logs or prints

from llamafactory.hparams import get_infer_args, get_train_args  # noqa: E402

_TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
_TORCHRUN |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
"""One process of one, as `torchrun` starts it."""

_REPORTED = ("stage", "finetuning_type", "quantization_bit", "learning_rate")


def verdict(case: dict[str, Any]) -> dict[str, Any]:
    """What the parser does with a case."""
    there = importlib.metadata.version
    importlib.metadata.version = lambda name: case.get("installed", {}).get(name) or there(name)
    os.environ |= _TORCHRUN if case.get("distributed") else {}
    parse = get_train_args if case["trains"] else get_infer_args
    try:
        parts = parse(case["arguments"])
    except Exception as error:  # noqa: BLE001 - whatever it dies of is the verdict
        return {"error": f"{type(error).__name__}: {error}"[:400], "read": {}}
    found = {name: getattr(part, name) for part in parts for name in _REPORTED if hasattr(part, name)}
    return {"error": None, "read": found}


def main() -> None:
    """Judge what comes on stdin."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.write(_OUT, (json.dumps(verdict(json.loads(line))) + "\n").encode())
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
