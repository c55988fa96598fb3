"""Compares this program's verdicts on datasets with LLaMA-Factory's own loader, on cases made at random.

python -m tests.oracle.compare_datasets PYTHON MODEL [COUNT] [SEED]: PYTHON is that of an environment with llamafactory,
MODEL a directory with a ChatML tokenizer (scripts.world.tiny makes one). Prints each disagreement and keeps its file.
By hand, not in CI: see docs/data.md.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from bundler.planning.datasets.description import Columns, Description, Tags
from bundler.planning.datasets.judge import judge
from tests.oracle.process import Judge

LOADER, TEMPLATE = "loader_of_llamafactory.py", "qwen3"
ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
TAGS = {name: getattr(Tags(), name) for name in Tags.__slots__}
RANKED = {"chosen": "chosen", "rejected": "rejected"}
TEXTS = ["a", "b c", "", "2024-01-01", "2024-01-01 10:00", "é数", "{{name}}", '{"name": "f", "arguments": {}}', "x\ny"]
ODD: list[Any] = [None, 1, 1.5, True, [], {}, ["a"], [1, "a"], {"a": 1}, "", 2**63, 10**30]


def text(r: random.Random, odd: float) -> Any:
    """A text, or now and then something else."""
    return r.choice(ODD) if r.random() < odd else r.choice(TEXTS)


def alpaca(r: random.Random, odd: float, columns: dict[str, str]) -> dict[str, Any]:
    """A record of alpaca."""
    made: dict[str, Any] = {}
    for name, column in columns.items():
        if r.random() < odd:
            continue
        if name == "kto_tag":
            made[column] = r.random() < 0.5 if r.random() > odd else None
        elif name == "history":
            made[column] = [[text(r, odd / 4), text(r, odd / 4)] for _ in range(r.randrange(3))]
        elif name == "tools":
            made[column] = r.choice(["", "[]", '[{"name": "f", "parameters": {}}]']) if r.random() > odd else "not"
        else:
            made[column] = text(r, odd)
    if r.random() < 0.3:
        made["id"] = r.randrange(9) if r.random() > odd else r.choice(ODD)
    return made


def message(r: random.Random, role: str, odd: float) -> Any:
    """A message of sharegpt."""
    made = {"from": role, "value": r.choice(TEXTS[-2:] if role == "function_call" and r.random() < odd else TEXTS)}
    if role == "function_call" and r.random() > odd:
        made["value"] = TEXTS[7]
    if r.random() < odd / 4:
        made[r.choice(["from", "value"])] = text(r, 0.5)
    if r.random() < odd / 4:
        del made[r.choice(["from", "value"])]
    return None if r.random() < odd / 8 else made


def sharegpt(r: random.Random, odd: float, columns: dict[str, str]) -> dict[str, Any]:
    """A record of sharegpt."""
    ranking = "chosen" in columns
    turns = [] if r.random() > 0.3 else ["system"]
    for number in range(2 * r.randrange(1, 3) - ranking if r.random() > odd else r.randrange(5)):
        usual = "gpt" if number % 2 else "human"
        other = "function_call" if number % 2 else "observation"
        turns.append(other if r.random() < 0.15 else usual)
    if r.random() < odd and turns:
        turns[r.randrange(len(turns))] = r.choice(["user", "system", "gpt", "human"])
    made: dict[str, Any] = {"conversations": [message(r, role, odd) for role in turns]}
    for name, column in columns.items():
        if name in RANKED and r.random() > odd:
            made[column] = message(r, "gpt" if r.random() > odd else "human", odd)
        elif name == "kto_tag":
            made[column] = r.random() < 0.5 if r.random() > odd else None
        elif name in ("system", "tools") and r.random() > odd:
            made[column] = "" if name == "tools" else text(r, odd / 4)
    return made


def case(r: random.Random, folder: Path) -> tuple[Path, dict[str, Any], str]:
    """A file, its description, and a stage."""
    stage = r.choice(["sft", "sft", "sft", "rm", "dpo", "kto", "ppo", "pt"])
    odd = r.choice([0, 0.01, 0.05, 0.2])
    shape = r.choice(["alpaca", "sharegpt"])
    columns = dict(ALPACA) if shape == "alpaca" else {"messages": "conversations"}
    columns |= RANKED if stage in ("rm", "dpo") else {}
    columns |= {"kto_tag": "t"} if stage == "kto" else {}
    for name in ("system", "tools") + (("history",) if shape == "alpaca" else ()):
        columns |= {name: name} if r.random() < 0.2 else {}
    make = alpaca if shape == "alpaca" else sharegpt
    count = r.choice([1, 2, 3, 8, 20]) if r.random() > 0.02 else r.choice([1001, 2003])
    records = [make(r, odd, columns) for _ in range(count)]
    if count > 1000 and r.random() < 0.7:  # a batch that is dropped whole, or nulls before the first value
        begin = r.choice([0, 1000])
        for record in records[begin : begin + 1000]:
            record["output" if shape == "alpaca" else "conversations"] = None if shape == "alpaca" else []
    kind = r.choice(["json", "jsonl"])
    path = folder / f"case.{kind}"
    path.write_bytes(written(r, records, kind, odd))
    description = {"formatting": shape, "columns": columns, "ranking": stage in ("rm", "dpo")}
    return path, description | ({"tags": TAGS} if shape == "sharegpt" else {}), stage


def written(r: random.Random, records: list[dict[str, Any]], kind: str, odd: float) -> bytes:
    """The records as a file, now and then a broken one."""
    ascii_ = r.random() < 0.5
    if kind == "json":
        made = json.dumps(records, ensure_ascii=ascii_, indent=r.choice([None, 2])).encode()
    else:
        made = b"\n".join(json.dumps(one, ensure_ascii=ascii_).encode() for one in records) + b"\n"
    if r.random() > odd:
        return made
    how = r.randrange(5)
    if how == 0:
        return b"\xef\xbb\xbf" + made
    at = r.randrange(len(made) + 1)
    head, tail = made[:at], made[at:]
    return (head, head + b"\xff" + tail, head + tail[1:], head + b"\t" + tail)[how - 1]


def describe(description: dict[str, Any]) -> Description:
    """An entry of dataset_info.json as this program's value. Members left out are none, as LLaMA-Factory takes them."""
    columns = {name: description["columns"].get(name) for name in Columns.__slots__}
    return Description(description["formatting"], description["ranking"], Columns(**columns), Tags())


def ours(path: Path, description: dict[str, Any], stage: Any) -> dict[str, Any]:
    """This program's verdict, in the oracle's words."""
    verdict = judge(path, describe(description), stage=stage)
    if verdict.failure and "Cannot find valid samples" not in verdict.failure.reason:
        return {"raises": True, "kept": 0, "dropped": [], "why": str(verdict.failure)}
    dropped = [one.number for one in verdict.dropped]
    return {"raises": False, "kept": verdict.kept, "dropped": dropped, "why": verdict.unread}


def theirs(oracle: Judge, path: Path, description: dict[str, Any], stage: str) -> dict[str, Any]:
    """LLaMA-Factory's verdict, in the same words."""
    arguments = {"cutoff_len": 8} if stage == "pt" else {}
    answer = oracle.ask({"info": description | {"file_name": str(path)}, "stage": stage, "arguments": arguments})
    dropped = answer["dropped"][:100]
    return {"raises": bool(answer["error"]), "kept": answer["kept"], "dropped": dropped, "why": answer["error"]}


def agree(one: dict[str, Any], other: dict[str, Any], stage: str) -> bool:
    """Whether two verdicts are the same. Of pt only whether it raises: it counts blocks, not records."""
    keys = ("raises",) if stage == "pt" else ("raises", "kept", "dropped")
    return all(one[key] == other[key] for key in keys)


def main() -> None:
    """Compare."""
    python, model = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    oracle = Judge(python, LOADER, model, TEMPLATE)
    differ = raised = 0
    kept_at = Path(tempfile.mkdtemp(prefix="disagree-"))
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory() as folder:
            path, description, stage = case(random.Random(number), Path(folder))
            said, mine = theirs(oracle, path, description, stage), ours(path, description, stage)
            raised += said["raises"]
            if not agree(said, mine, stage):
                differ += 1
                body = path.read_bytes()
                (kept_at / f"{number}{path.suffix}").write_bytes(body)
                print(number, path.suffix, stage, description["columns"], body[:200], said, mine, sep="\n  ")
    print(f"{count} cases, {raised} of them raising: {differ} differ" + (f", kept in {kept_at}" if differ else ""))


if __name__ == "__main__":
    main()
