"""Gives LLaMA-Factory's own parser each argument with each kind of value, and prints what it refuses and we do not.

python -m tests.oracle.compare_arguments PYTHON: the interpreter of an environment with llamafactory 0.9.3
(scripts/world/trainer.py makes one). By hand, as it takes minutes: the mistakes that it found are in
argument_mistakes.py, which the tests show to the parser each time. `tf32` is printed where this machine has no GPU.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundler.manifest.rules import problems
from bundler.manifest.rules.arguments import ARGUMENTS, is_told
from bundler.manifest.tables import Argument, trainer_arguments
from scripts.world.trainer import VERSION
from tests.oracle.argument_mistakes import unchecked
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
_OTHER_TRAININGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "full, ZeRO-3": {"train.method": "full", "train.deepspeed": "z3"},
    "nf4": {"train.quantization": "nf4"},
    "kto, freeze": {
        "train.stage": "kto",
        "train.method": "freeze",
        "datasets.pumps.columns": {"kto_tag": "label"},
    },
}


def values(argument: Argument) -> Iterator[Any]:
    """One of each kind that it may be, and each word."""
    for kind in sorted(argument.kinds):
        yield from argument.choices if kind == "str" and argument.choices else _VALUES.get(kind, [])


def main() -> None:
    """Compare."""
    asked = refused = missed = 0
    with Judge(sys.argv[1], PARSER) as parser, tempfile.TemporaryDirectory() as place:
        for title, changes in _OTHER_TRAININGS.items():
            for name, argument in trainer_arguments(VERSION).items():
                for value in () if is_told(name, ARGUMENTS) else values(argument):
                    given = unchecked(Path(place), {**changes, "train.extra": {name: value}})
                    answer = parser.ask(dict(questions(given, Path(place)))["train"])
                    asked, refused = asked + 1, refused + bool(answer["error"])
                    if answer["error"] and not list(problems(given)):
                        missed += 1
                        print(f"{title}: {name}: {value!r}: {answer['error'][:200]}", flush=True)
    print(f"{asked} trainings, {refused} refused by the parser, {missed} of them not by us")


if __name__ == "__main__":
    main()
