"""Compares the sequences that packing makes with those of LLaMA-Factory's own processors, on records made at random.

python -m tests.oracle.compare_packing PYTHON MODEL [COUNT] [SEED]: PYTHON is that of an environment with llamafactory,
MODEL a directory with tokenizer.json and tokenizer_config.json. Prints each disagreement. By hand, not in CI: see
docs/data.md.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from bundler.planning.datasets.description import Description
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.packing import Packing, Way
from bundler.planning.datasets.template import template
from bundler.planning.datasets.tokens import ModelTokenizer, TokenWatch

TEMPLATE, VERSION = "qwen3", "0.9.3"


def case(r: random.Random) -> tuple[list[dict[str, str]], dict[str, Any], str]:
    """Records, arguments, and a stage."""
    stage = r.choice(["pt", "sft", "sft"])
    cutoff, share = r.choice([100, 200, 700]), r.choice([2, 8])

    def text() -> str:
        words = r.randrange(1, cutoff // share)
        return " ".join(r.choice(["pump", "valve", "轴承", "is", "worn"]) for _ in range(words))

    count = r.choice([1, 30, 999, 1000, 1001, 2500])
    records = [{"instruction": text(), "input": "", "output": text()} for _ in range(count)]
    arguments: dict[str, Any] = {"cutoff_len": cutoff}
    if stage == "sft" or r.random() < 0.5:
        arguments["packing"] = True
    if stage == "sft" and r.random() < 0.3:
        arguments["neat_packing"] = True
    if r.random() < 0.3:
        arguments["preprocessing_batch_size"] = r.choice([7, 100])
    return records, arguments, stage


def counted(path: Path, arguments: dict[str, Any], stage: Any, tokenizer: ModelTokenizer) -> tuple[int, int]:
    """Sequences, and how many records are truncated."""
    cutoff = arguments["cutoff_len"] - bool(arguments.get("packing"))
    way: Way = "blocks" if stage == "pt" else "knapsack"
    packing = partial(Packing, way, cutoff, arguments.get("preprocessing_batch_size", 1000))
    watch = TokenWatch(tokenizer, stage, packed=True, packing=packing)
    judge(path, Description(), stage=stage, watch=watch)
    lengths = watch.lengths("model", cutoff)
    assert lengths
    assert lengths.packed is not None
    return lengths.packed, lengths.truncated


def main() -> None:
    """Compare."""
    python, model = sys.argv[1], Path(sys.argv[2])
    count, seed = (int(one) for one in (*sys.argv[3:], *("30", "0")[len(sys.argv) - 3 :]))
    tokenizer = ModelTokenizer(model / "tokenizer.json", model / "tokenizer_config.json", template(TEMPLATE, VERSION))
    script = Path(__file__).with_name("loader_of_llamafactory.py")
    oracle = subprocess.Popen(
        [python, str(script), str(model), TEMPLATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert oracle.stdin
    assert oracle.stdout
    found: Counter[str] = Counter()
    for number in range(seed, seed + count):
        records, arguments, stage = case(random.Random(number))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.json"
            path.write_text(json.dumps(records))
            question = {"info": {"file_name": str(path)}, "stage": stage, "arguments": arguments}
            oracle.stdin.write(json.dumps(question) + "\n")
            oracle.stdin.flush()
            theirs = json.loads(oracle.stdout.readline())
            mine, truncated = counted(path, arguments, stage, tokenizer)
        packed = theirs.get("packed", 0)
        kind = f"{stage}, {'some' if truncated else 'none'} truncated"
        found[f"{kind}: {'same' if packed == mine else 'differ'}"] += 1
        if packed != mine:
            print(number, kind, len(records), arguments, theirs["error"], f"theirs {packed} mine {mine}")
    oracle.kill()
    print("\n".join(f"{name}: {many}" for name, many in sorted(found.items())))


if __name__ == "__main__":
    main()
