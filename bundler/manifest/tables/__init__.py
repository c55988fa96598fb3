"""What versions of LLaMA-Factory and vLLM take as arguments, as data: made from their source.

scripts/trainer_arguments.py, scripts/trainer_templates.py and scripts/server_flags.py make the tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Argument:
    """What an argument may be: `str`, `int`, `float`, `bool`, `list`, `dict`, `null`, or `other` (anything goes).

    `choices` are the words that its source lists, if it lists any.
    """

    kinds: frozenset[str]
    choices: tuple[str, ...] = ()

    def takes(self, value: Any) -> bool:
        """Whether a value is of a kind that it may be, and one of the words. A whole number is a number, too."""
        if "other" in self.kinds:
            return True
        if isinstance(value, str) and self.choices:
            return value in self.choices
        return any(_is(kind, value) for kind in self.kinds)

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return " or ".join(_WORDS[kind] for kind in _WORDS if kind in self.kinds)


_WORDS = {
    "bool": "true or false, without quotes",
    "int": "a whole number, without quotes",
    "float": "a number, without quotes",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "null": "null",
}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "list": (list, tuple),
    "dict": (dict,),
    "null": (type(None),),
}


def _is(kind: str, value: Any) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    return isinstance(value, _TYPES[kind])


@cache
def trainer_arguments(version: str) -> Mapping[str, Argument]:
    """All arguments of a version; empty where there is no table of it."""
    table = TABLES / f"llamafactory-{version}.json"
    if not table.is_file():
        return {}
    arguments = json.loads(table.read_text())["arguments"]
    return {name: Argument(frozenset(a["kinds"]), tuple(a.get("choices", ()))) for name, a in arguments.items()}


@dataclass(frozen=True, slots=True)
class Templates:
    """The chat templates of a version: their names, those that end each answer by themselves (`efficient_eos`), and
    the one of each chat model that it lists, by repository in lower case. `alike` are those that write the same turns.
    """

    names: frozenset[str]
    efficient_eos: frozenset[str]
    of_model: Mapping[str, str]
    alike: tuple[frozenset[str], ...] = ()

    def same_turns(self, one: str, other: str) -> bool:
        """Whether two templates write user, assistant and system in the same way."""
        return one == other or any({one, other} <= group for group in self.alike)


@cache
def templates(version: str) -> Templates | None:
    """None where there is no table of the version."""
    table = TABLES / f"templates-{version}.json"
    if not table.is_file():
        return None
    made = json.loads(table.read_text())
    alike = tuple(frozenset(group) for group in made["alike"])
    return Templates(frozenset(made["templates"]), frozenset(made["efficient_eos"]), made["models"], alike)


@cache
def server_flags(version: str) -> frozenset[str]:
    """The flags of `vllm serve`, without `--`; empty where there is no table of the version."""
    return _listed(version, "flags")


@cache
def server_switches(version: str) -> frozenset[str]:
    """Those of them that have no `--no-` form."""
    return _listed(version, "switches")


def _listed(version: str, key: str) -> frozenset[str]:
    table = TABLES / f"vllm-{version}.json"
    return frozenset(json.loads(table.read_text())[key]) if table.is_file() else frozenset()
