"""How fast datasets are judged, in CPU time of one core: megabytes of JSON a second, beside `json.loads` alone."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bundler.planning.datasets.description import Description
from bundler.planning.datasets.judge import judge
from scripts.bench.measure import Figure

GOAL = 50
RECORDS = 40_000
_ENGLISH = ["the", "bearing", "temperature", "rises", "when", "oil", "pressure", "drops", "so", "check", "valve"]
_CHINESE = "设备维护人员应当首先检查轴承温度然后确认油压是否正常如果异常则停机并通知值班工程师"


def figures(place: Path) -> Iterator[Figure]:
    """Records of some 360 and 530 bytes, as short as those of the public instruction sets: long ones go faster."""
    shapes: tuple[tuple[str, Callable[[random.Random], dict[str, Any]]], ...] = (
        ("alpaca", _alpaca),
        ("sharegpt", _sharegpt),
    )
    for name, make in shapes:
        made = [make(random.Random(number)) for number in range(RECORDS)]
        for kind in ("json", "jsonl"):
            path = place / f"{name}.{kind}"
            lines = [json.dumps(record, ensure_ascii=False) for record in made]
            path.write_text("[\n" + ",\n".join(lines) + "\n]" if kind == "json" else "\n".join(lines))
            description = Description("alpaca" if name == "alpaca" else "sharegpt")
            speed = _speed(path, lambda path=path, description=description: judge(path, description))  # type: ignore[misc]
            alone = _speed(path, lambda lines=lines: [json.loads(line) for line in lines])  # type: ignore[misc]
            what = f"{name}, {'an array' if kind == 'json' else 'lines'}: judged, on one core"
            yield Figure(what, f"{speed:.0f} MB/s (json.loads alone: {alone:.0f})", f">= {GOAL} MB/s", speed >= GOAL)


def _speed(path: Path, work: Callable[[], object]) -> float:
    """The best of three: what else the machine does only ever takes away."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return path.stat().st_size / 1e6 / min(seconds)


def _text(r: random.Random, words: int) -> str:
    if r.random() < 0.5:
        return "".join(r.choice(_CHINESE) for _ in range(3 * words)) + "。"
    return " ".join(r.choice(_ENGLISH) for _ in range(words)).capitalize() + f". {r.randrange(10**6)}"


def _alpaca(r: random.Random) -> dict[str, Any]:
    extra = _text(r, 6) if r.random() < 0.3 else ""
    return {"instruction": _text(r, r.randrange(5, 16)), "input": extra, "output": _text(r, r.randrange(8, 50))}


def _sharegpt(r: random.Random) -> dict[str, Any]:
    turns = [
        {"from": role, "value": _text(r, r.randrange(4, longest))} for role, longest in (("human", 12), ("gpt", 30)) * 2
    ]
    return {"conversations": turns}
