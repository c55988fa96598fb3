"""Makes the tables of what LLaMA-Factory takes as training arguments, from the wheels that define them.

`python -m scripts.trainer_arguments LLAMAFACTORY.whl TRANSFORMERS.whl` writes the table of that LLaMA-Factory. The
source is read, not run: neither package needs to be installed. An argument is a field of a dataclass in `hparams/`, or
of transformers' TrainingArguments, from which LLaMA-Factory's own inherit (hparams/training_args.py). Its words are
those of the Literal or of the Enum that it is annotated with.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bundler.manifest.tables import TABLES

_HPARAMS = re.compile(r"llamafactory/hparams/\w+_args\.py")
_TRANSFORMERS = re.compile(r"transformers/training_args(_seq2seq)?\.py")
_ENUMS = re.compile(r"llamafactory/extras/constants\.py|transformers/(training_args|trainer_utils)\.py")
_NOT_FOR_TRAINING = {"EvaluationArguments"}
_KINDS = {"str": "str", "int": "int", "float": "float", "bool": "bool", "list": "list", "dict": "dict"}

Enums = Mapping[str, list[str]]


def main(arguments: list[str]) -> int:
    trainer, transformers = (Path(argument) for argument in arguments)
    version = trainer.name.split("-")[1]
    found: dict[str, Any] = {}
    enums = dict(one for wheel in (transformers, trainer) for one in _enums(wheel))
    for wheel, pattern in ((transformers, _TRANSFORMERS), (trainer, _HPARAMS)):
        found |= dict(_arguments(wheel, pattern, enums))
    sources = [" ".join(wheel.name.split("-")[:2]) for wheel in (trainer, transformers)]
    table = TABLES / f"llamafactory-{version}.json"
    lines = ",\n".join(f'  "{name}": {json.dumps(found[name], sort_keys=True)}' for name in sorted(found))
    table.write_text(f'{{\n "sources": {json.dumps(sources)},\n "arguments": {{\n{lines}\n }}\n}}\n')
    print(f"{table}: {len(found)} arguments of {' and '.join(sources)}")
    return 0


def _arguments(wheel: Path, pattern: re.Pattern[str], enums: Enums) -> Iterator[tuple[str, dict[str, Any]]]:
    for module in _modules(wheel, pattern):
        lists = _lists(module)
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and node.name not in _NOT_FOR_TRAINING and _is_dataclass(node):
                yield from _fields(node, lists, enums)


def _enums(wheel: Path) -> Iterator[tuple[str, list[str]]]:
    """The words of each Enum."""
    for module in _modules(wheel, _ENUMS):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Enum") for base in node.bases):
                values = [part.value for part in node.body if isinstance(part, ast.Assign)]
                yield node.name, [str(value.value) for value in values if isinstance(value, ast.Constant)]


def _modules(wheel: Path, pattern: re.Pattern[str]) -> Iterator[ast.Module]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if pattern.fullmatch(name):
                yield ast.parse(archive.read(name))


def _lists(module: ast.Module) -> frozenset[str]:
    """The fields that `split_arg` splits at commas: whatever they are annotated as, it leaves a list as it is."""
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call) and ast.unparse(node.func) == "split_arg")
    return frozenset(part.attr for call in calls for part in call.args if isinstance(part, ast.Attribute))


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _fields(node: ast.ClassDef, lists: frozenset[str], enums: Enums) -> Iterator[tuple[str, dict[str, Any]]]:
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if field.value is not None and "init=False" in ast.unparse(field.value).replace(" ", ""):
            continue
        kinds, choices = _accepted(field.annotation, enums)
        if field.target.id in lists:
            kinds.add("list")
        yield field.target.id, {"kinds": sorted(kinds), **({"choices": choices} if choices else {})}


def _accepted(annotation: ast.expr, enums: Enums) -> tuple[set[str], list[str]]:
    """The kinds of value that an annotation allows, and the words where it lists them. `other`: anything goes."""
    if isinstance(annotation, ast.Constant):
        if annotation.value is None:
            return {"null"}, []
        return _accepted(ast.parse(str(annotation.value), mode="eval").body, enums)
    if isinstance(annotation, ast.BinOp):
        return _joined([annotation.left, annotation.right], enums)
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inside = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if name == "Literal":
            words = [part.value for part in inside if isinstance(part, ast.Constant)]
            return {"str"}, [word for word in words if isinstance(word, str)]
        if name == "Optional":
            kinds, choices = _accepted(inside[0], enums)
            return {*kinds, "null"}, choices
        if name == "Union":
            return _joined(inside, enums)
        return {_KINDS.get(name.lower(), "other")}, []
    name = ast.unparse(annotation)
    return ({"str"}, list(enums[name])) if name in enums else ({_KINDS.get(name, "other")}, [])


def _joined(parts: list[ast.expr], enums: Enums) -> tuple[set[str], list[str]]:
    kinds: set[str] = set()
    choices: list[str] = []
    for part in parts:
        more, words = _accepted(part, enums)
        kinds |= more
        choices += words
    return kinds, choices if not kinds - {"str", "null"} else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
