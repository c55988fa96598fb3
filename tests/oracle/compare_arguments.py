"""Gives LLaMA-Factory's own parser arguments and prints what it refuses and we do not.

python -m tests.oracle.compare_arguments PYTHON [PAIRS] [SEED]: PYTHON is that of an environment with llamafactory 0.9.3
(scripts/world/trainer.py makes one). Each argument with each kind of value, in four kinds of training; with PAIRS, so
many trainings of two arguments and three keys at random. By hand, as it takes minutes: the mistakes that it found are
in argument_mistakes.py, which the tests show to the parser each time. `tf32` is printed where this machine has no GPU.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bundler.manifest.rules import problems
from bundler.manifest.rules.arguments import ARGUMENTS, is_told
from bundler.manifest.tables import Argument, trainer_arguments
from scripts.world.trainer import VERSION
from tests.oracle.argument_mistakes import DPO, FULL, HELD, KTO, NF4, RM, Z3, unchecked
from tests.oracle.parsing import PARSER, questions
from tests.oracle.process import Judge

_VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [0, 1, -1],
    "float": [0.5, -1.0],
    "str": ["x", "1,2"],
    "list": [["x"]],
    "dict": [{"x": 1}],
}
_TRAININGS: list[dict[str, Any]] = [{}, {**FULL, **Z3}, NF4, {**KTO, "train.method": "freeze"}]
_KEYS: list[dict[str, Any]] = [
    *(FULL, HELD, NF4, Z3, DPO, KTO, RM, {"train.method": "freeze"}, {"train.deepspeed": "z2"}),
    *({f"train.{name}": True} for name in ("packing", "neat_packing", "mask_history", "train_on_prompt", "unsloth")),
    *({"train.max_steps": 5}, {"train.val_size": 10}, {"train.warmup_steps": 3}, {"train.fsdp": "full"}),
    *({"target.count": 1, "serve.tensor_parallel": 1}, {"train.swanlab": {}}, {"train.liger": True}),
]
Training = tuple[dict[str, Any], dict[str, Any]]
"""Changes of the example manifest, and what stands in its `extra`."""


def values(argument: Argument) -> Iterator[Any]:
    """One of each kind that it may be, and each word."""
    for kind in sorted(argument.kinds):
        yield from argument.choices if kind == "str" and argument.choices else _VALUES.get(kind, [])


def singles() -> Iterator[Training]:
    """Each argument that `extra` may have, with each of its values."""
    for changes in _TRAININGS:
        for name, argument in trainer_arguments(VERSION).items():
            for value in () if is_told(name, ARGUMENTS) else values(argument):
                yield changes, {name: value}


def pairs(count: int, seed: int) -> Iterator[Training]:
    """Two arguments and up to three keys at random."""
    r = random.Random(seed)
    table = {name: list(values(one)) for name, one in trainer_arguments(VERSION).items()}
    names = [name for name, found in table.items() if found and not is_told(name, ARGUMENTS)]
    for _ in range(count):
        changes = {key: value for part in r.sample(_KEYS, r.randrange(4)) for key, value in part.items()}
        yield changes, {name: r.choice(table[name]) for name in r.sample(names, 2)}


def main() -> None:
    """Compare."""
    count, seed = (*map(int, sys.argv[2:4]), 0, 0)[:2]
    asked = refused = missed = 0
    with Judge(sys.argv[1], PARSER) as parser, tempfile.TemporaryDirectory() as place:
        for changes, extra in pairs(count, seed) if count else singles():
            try:
                given = unchecked(Path(place), {**changes, "train.extra": extra})
            except ValidationError:
                continue  # the schema refuses it
            error = parser.ask(dict(questions(given, Path(place)))["train"])["error"]
            asked, refused = asked + 1, refused + bool(error)
            if error and not list(problems(given)):
                missed += 1
                print(f"{changes} {extra}: {error[:200]}", flush=True)
    print(f"{asked} trainings, {refused} refused by the parser, {missed} of them not by us")


if __name__ == "__main__":
    main()
