"""Makes the tables of LLaMA-Factory's chat templates, from the wheels that register them.

`python -m scripts.chat_templates LLAMAFACTORY.whl` writes the table of that version. The source (data/template.py) is
read, not run. Only templates for text are taken, those of the families below: whatever else is registered, the plan
counts the text alone, and says so.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bundler.planning.tables import TABLES

FAMILIES = (
    ("alpaca", "chatml", "default", "empty", "vicuna", "zephyr", "yi", "intern2", "granite3", "phi", "phi4"),
    ("qwen", "qwen3", "qwen3_nothink", "deepseek", "deepseek3", "deepseekr1", "glm4", "glmz1"),
    ("llama2", "llama3", "mistral", "ministral", "gemma", "gemma2"),
)
_WANTED = frozenset(name for family in FAMILIES for name in family)
_CLASSES = {"Template": "plain", "ReasoningTemplate": "reasoning", "Llama2Template": "fused"}
_WORDS = ("default_system", "efficient_eos", "replace_eos", "stop_words", "thought_words")


def main(arguments: list[str]) -> int:
    """Write the table of one wheel."""
    wheel = Path(arguments[0])
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        module = ast.parse(archive.read("llamafactory/data/template.py"))
    thoughts = _default_thoughts(module)
    found = {name: {"thought_words": thoughts} | given for name, given in _registered(module)}
    table = TABLES / f"templates-{version}.json"
    lines = ",\n".join(f'  "{name}": {json.dumps(found[name], sort_keys=True)}' for name in sorted(found))
    source = f"llamafactory {version}, data/template.py"
    table.write_text(f'{{\n "source": "{source}",\n "templates": {{\n{lines}\n }}\n}}\n')
    print(f"{table}: {len(found)} templates")
    return 0


def _registered(module: ast.Module) -> Iterator[tuple[str, dict[str, Any]]]:
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "register_template":
            given = {key.arg: key.value for key in node.keywords if key.arg}
            name = ast.literal_eval(given.pop("name"))
            if name in _WANTED and "mm_plugin" not in given:
                yield name, _template(given)


def _template(given: dict[str, ast.expr]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key.startswith("format_"):
            assert isinstance(value, ast.Call)
            words = {one.arg: one.value for one in value.keywords}
            if "slots" in words:
                made[key.removeprefix("format_")] = [_slot(one) for one in _list(words["slots"])]
            if "tool_format" in words:
                made["tool_format"] = ast.literal_eval(words["tool_format"])
        elif key in _WORDS:
            made[key] = ast.literal_eval(value)
        elif key == "template_class":
            made["kind"] = _CLASSES[ast.unparse(value)]
    return made


def _list(value: ast.expr) -> list[ast.expr]:
    assert isinstance(value, ast.List)
    return value.elts


def _slot(slot: ast.expr) -> str | list[str]:
    """Text; or one token: the tokenizer's own first or last one (`bos`, `eos`), or one by its name (`token`)."""
    value = ast.literal_eval(slot)
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ["token"]
    return [next(iter(value)).removesuffix("_token")]


def _default_thoughts(module: ast.Module) -> list[str]:
    """What `thought_words` is where a template does not say."""
    for node in ast.walk(module):
        if isinstance(node, ast.keyword) and node.arg == "thought_words" and isinstance(node.value, ast.BoolOp):
            return list(ast.literal_eval(node.value.values[1]))
    raise ValueError("register_template has no default for thought_words")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
