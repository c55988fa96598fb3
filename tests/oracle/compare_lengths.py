"""Compares this program's token lengths with those of LLaMA-Factory's own processors, on records made at random.

python -m tests.oracle.compare_lengths PYTHON MODEL VERSION TEMPLATE [COUNT] [SEED] [FILE]: PYTHON is that of an
environment with llamafactory of that version, MODEL a directory with tokenizer.json and tokenizer_config.json. Prints
each disagreement. FILE gets what LLaMA-Factory said of each case, as JSON lines. By hand, not in CI: see docs/data.md.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundler.planning.datasets.convert import Aligned
from bundler.planning.datasets.judge import judge
from bundler.planning.datasets.template import template
from bundler.planning.datasets.tokens import ModelTokenizer, TokenWatch
from bundler.planning.datasets.verdict import Place
from tests.oracle.compare_datasets import ALPACA, RANKED, TAGS, describe

WORDS = ["pump", "泵", "bearing", "轴承。", "é", "ñ", "<think>", "</think>", "<|im_end|>", "\n\n", "\t", "12345"]
WORDS += ["{{idx}}", "😀", "don't", "Ünïcode", "()[]", ".."]
CALL = json.dumps({"name": "read", "arguments": {"valve": 7, "单位": "bar"}}, ensure_ascii=False)
CALLS = ["<think>\nwhich?\n</think>\n\n" + CALL, CALL, f"[{CALL}, {CALL}]"]
TOOLS = json.dumps([{"name": "read", "description": "reads 阀", "parameters": {"type": "object", "properties": {}}}])


def text(r: random.Random) -> str:
    """A few words, now and then with thoughts."""
    words = " ".join(r.choice(WORDS) for _ in range(r.randrange(1, 30)))
    return f"<think>\n{words}\n</think>\n\n{words}" if r.random() < 0.2 else words


def alpaca(r: random.Random, columns: dict[str, str]) -> dict[str, Any]:
    """A record of alpaca."""
    made: dict[str, Any] = {}
    for name, column in columns.items():
        if name == "kto_tag":
            made[column] = r.random() < 0.5
        elif name == "history":
            made[column] = [[text(r), text(r)] for _ in range(r.randrange(3))]
        elif name in ("system", "query"):
            made[column] = text(r) if r.random() < 0.5 else ""
        else:
            made[column] = text(r)
    return made


def sharegpt(r: random.Random, columns: dict[str, str]) -> dict[str, Any]:
    """A record of sharegpt, with calls of tools."""
    ranking = "chosen" in columns
    turns: list[dict[str, str]] = [{"from": "system", "value": text(r)}] if r.random() < 0.3 else []
    for number in range(2 * r.randrange(1, 4) - ranking):
        role = "gpt" if number % 2 else "human"
        if r.random() < 0.2 and "tools" in columns:
            role = "function_call" if number % 2 else "observation"
        turns.append({"from": role, "value": r.choice(CALLS) if role == "function_call" else text(r)})
    made: dict[str, Any] = {"conversations": turns}
    for name, column in columns.items():
        if name in RANKED:
            made[column] = {"from": "gpt", "value": text(r)}
        elif name == "kto_tag":
            made[column] = r.random() < 0.5
        elif name == "tools":
            made[column] = TOOLS if r.random() < 0.5 else ""
    return made


def case(r: random.Random, *, tools: bool, count: int = 20) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Records, their description, and a stage."""
    stage = r.choice(["sft", "sft", "sft", "rm", "dpo", "kto", "pt"])
    shape = r.choice(["alpaca", "sharegpt"])
    columns = dict(ALPACA) if shape == "alpaca" else {"messages": "conversations"}
    columns |= RANKED if stage in ("rm", "dpo") else {}
    columns |= {"kto_tag": "t"} if stage == "kto" else {}
    optional = ("system", "history") if shape == "alpaca" else ("tools",) if tools else ()
    for name in optional:
        columns |= {name: name} if r.random() < 0.4 else {}
    make = alpaca if shape == "alpaca" else sharegpt
    description = {"formatting": shape, "columns": columns, "ranking": stage in ("rm", "dpo")}
    tags = {"tags": TAGS} if shape == "sharegpt" else {}
    return [make(r, columns) for _ in range(count)], description | tags, stage


class Counts(TokenWatch):
    """Every record's tokens, in their order."""

    def begin(self) -> None:
        """Forget."""
        super().begin()
        self.all: list[int] = []

    def take(self, aligned: Aligned, place: Callable[[], Place]) -> None:
        """One record, counted at once."""
        super().take(aligned, place)
        self._count()

    def _count(self) -> None:
        if self._waiting:
            spread = self._spread
            before = spread._counts.copy()
            super()._count()
            self.all += list((spread._counts - before).elements())


def main() -> None:
    """Compare."""
    python, model, version, name = sys.argv[1:5]
    count = int(sys.argv[5]) if len(sys.argv) > 5 else 100
    seed = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    kept = Path(sys.argv[7]) if len(sys.argv) > 7 else None
    of = template(name, version)
    place = Path(model)
    tokenizer = ModelTokenizer(place / "tokenizer.json", place / "tokenizer_config.json", of)
    script = Path(__file__).with_name("loader_of_llamafactory.py")
    oracle = subprocess.Popen(
        [python, str(script), model, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert oracle.stdin
    assert oracle.stdout
    same = differ = 0
    for number in range(seed, seed + count):
        tools = of.tool_format in ("qwen", "llama3", "mistral")
        records, info, stage = case(random.Random(number), tools=tools, count=2 if kept else 20)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "case.json"
            path.write_text(json.dumps(records))
            arguments = {"cutoff_len": 100_000, "packing": False}
            question = {"info": info | {"file_name": str(path)}, "stage": stage, "arguments": arguments}
            oracle.stdin.write(json.dumps(question) + "\n")
            oracle.stdin.flush()
            theirs = json.loads(oracle.stdout.readline())
            watch = Counts(tokenizer, stage, packed=False)  # type: ignore[arg-type]
            judge(path, describe(info), stage=stage, watch=watch)  # type: ignore[arg-type]
        if kept:
            said = {"version": version, "template": name, "stage": stage, "info": info, "records": records}
            with kept.open("a") as file:
                file.write(json.dumps(said | {"lengths": theirs["lengths"]}, ensure_ascii=False) + "\n")
        if theirs.get("lengths") == watch.all:
            same += len(watch.all)
        else:
            differ += 1
            print(number, stage, info["formatting"], theirs["error"], theirs.get("lengths"), watch.all, sep="\n  ")
    oracle.kill()
    print(f"{name}: {same} records of {count} cases have the same length; {differ} cases differ")


if __name__ == "__main__":
    main()
