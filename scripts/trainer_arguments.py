"""Makes the tables of what LLaMA-Factory takes as training arguments, from the wheels that define them.

`python -m scripts.trainer_arguments LLAMAFACTORY.whl TRANSFORMERS.whl` writes the table of that LLaMA-Factory. The
source is read, not run: neither package needs to be installed. An argument is a field of a dataclass in `hparams/`, or
of transformers' TrainingArguments, from which LLaMA-Factory's own inherit (hparams/training_args.py).
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundler.manifest.tables import TABLES

_HPARAMS = re.compile(r"llamafactory/hparams/\w+_args\.py")
_TRANSFORMERS = re.compile(r"transformers/training_args(_seq2seq)?\.py")
_NOT_FOR_TRAINING = {"EvaluationArguments"}
_KINDS = {"str": "str", "int": "int", "float": "float", "bool": "bool", "list": "list", "dict": "dict"}


def main(arguments: list[str]) -> int:
    trainer, transformers = (Path(argument) for argument in arguments)
    version = trainer.name.split("-")[1]
    found: dict[str, Any] = {}
    for wheel, pattern in ((transformers, _TRANSFORMERS), (trainer, _HPARAMS)):
        found |= dict(_arguments(wheel, pattern))
    sources = [" ".join(wheel.name.split("-")[:2]) for wheel in (trainer, transformers)]
    table = TABLES / f"llamafactory-{version}.json"
    lines = ",\n".join(f'  "{name}": {json.dumps(found[name], sort_keys=True)}' for name in sorted(found))
    table.write_text(f'{{\n "sources": {json.dumps(sources)},\n "arguments": {{\n{lines}\n }}\n}}\n')
    print(f"{table}: {len(found)} arguments of {' and '.join(sources)}")
    return 0


def _arguments(wheel: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if pattern.fullmatch(name):
                module = ast.parse(archive.read(name))
                lists = _lists(module)
                for node in ast.walk(module):
                    if isinstance(node, ast.ClassDef) and node.name not in _NOT_FOR_TRAINING and _is_dataclass(node):
                        yield from _fields(node, lists)


def _lists(module: ast.Module) -> frozenset[str]:
    """The fields that `split_arg` splits at commas: whatever they are annotated as, it leaves a list as it is."""
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call) and ast.unparse(node.func) == "split_arg")
    return frozenset(part.attr for call in calls for part in call.args if isinstance(part, ast.Attribute))


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _fields(node: ast.ClassDef, lists: frozenset[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if field.value is not None and "init=False" in ast.unparse(field.value).replace(" ", ""):
            continue
        kinds, choices = _accepted(field.annotation)
        if field.target.id in lists:
            kinds.add("list")
        yield field.target.id, {"kinds": sorted(kinds), **({"choices": choices} if choices else {})}


def _accepted(annotation: ast.expr) -> tuple[set[str], list[str]]:
    """The kinds of value that an annotation allows, and the words where it lists them. `other`: anything goes."""
    if isinstance(annotation, ast.Constant):
        if annotation.value is None:
            return {"null"}, []
        return _accepted(ast.parse(str(annotation.value), mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return _joined([annotation.left, annotation.right])
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inside = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if name == "Literal":
            words = [part.value for part in inside if isinstance(part, ast.Constant)]
            return {"str"}, [word for word in words if isinstance(word, str)]
        if name == "Optional":
            kinds, choices = _accepted(inside[0])
            return {*kinds, "null"}, choices
        if name == "Union":
            return _joined(inside)
        return {_KINDS.get(name.lower(), "other")}, []
    return {_KINDS.get(ast.unparse(annotation), "other")}, []


def _joined(parts: list[ast.expr]) -> tuple[set[str], list[str]]:
    kinds: set[str] = set()
    choices: list[str] = []
    for part in parts:
        more, words = _accepted(part)
        kinds |= more
        choices += words
    return kinds, choices if not kinds - {"str", "null"} else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
