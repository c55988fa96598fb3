"""Makes the tables of LLaMA-Factory's chat templates, from the wheel that defines them.

`python -m scripts.trainer_templates LLAMAFACTORY.whl`. The source is read, not run: the templates are the calls of
`register_template` in data/template.py, and a model's own is that of its group in extras/constants.py, where
LLaMA-Factory takes it for a chat model. Base models that a multimodal group lists beside
their chat models are left out.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bundler.manifest.tables import TABLES

_TURNS = ("format_user", "format_assistant", "format_system", "format_prefix")


def main(arguments: list[str]) -> int:
    (wheel,) = (Path(argument) for argument in arguments)
    version = wheel.name.split("-")[1]
    templates = sorted(_calls(wheel, "llamafactory/data/template.py", "register_template"), key=_name)
    groups = _calls(wheel, "llamafactory/extras/constants.py", "register_model_group")
    made = {
        "source": f"llamafactory {version}",
        "templates": [_name(call) for call in templates],
        "efficient_eos": [_name(call) for call in templates if _constant(call, "efficient_eos") is True],
        "alike": _alike(templates),
        "models": dict(sorted(pair for group in groups for pair in _models(group, _suffixes(wheel)))),
    }
    table = TABLES / f"templates-{version}.json"
    table.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    print(f"{table}: {len(templates)} templates, {len(made['models'])} models of llamafactory {version}")
    return 0


def _calls(wheel: Path, file: str, function: str) -> list[ast.Call]:
    nodes = ast.walk(_module(wheel, file))
    return [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == function]


def _module(wheel: Path, file: str) -> ast.Module:
    with zipfile.ZipFile(wheel) as archive:
        return ast.parse(archive.read(file))


def _suffixes(wheel: Path) -> tuple[str, ...]:
    """What a chat model's name has, by which register_model_group gives it the group's template."""
    for node in ast.walk(_module(wheel, "llamafactory/extras/constants.py")):
        if isinstance(node, ast.FunctionDef) and node.name == "register_model_group":
            found = (part for part in ast.walk(node) if isinstance(part, ast.Tuple))
            words = next(part for part in found if all(isinstance(one, ast.Constant) for one in part.elts))
            return tuple(ast.literal_eval(words))
    raise ValueError("extras/constants.py has no register_model_group")


def _alike(templates: list[ast.Call]) -> list[list[str]]:
    """Those templates, together, that write the same turns: what they differ in are default systems, thoughts, tools,
    pictures, and what ends an answer.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for call in templates:
        written = {word.arg: ast.unparse(word.value) for word in call.keywords}
        groups.setdefault(tuple(written.get(part, "") for part in _TURNS), []).append(_name(call))
    return [names for names in groups.values() if len(names) > 1]


def _models(group: ast.Call, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The repositories of a group's chat models on the hubs, in lower case, with its template."""
    template = _constant(group, "template")
    models = next(word.value for word in group.keywords if word.arg == "models")
    if not isinstance(template, str) or not isinstance(models, ast.Dict):
        return
    for name, places in zip(models.keys, models.values, strict=True):
        text = name.value if isinstance(name, ast.Constant) else ""
        chats = any(suffix in str(text) for suffix in suffixes)
        chats = chats or (_constant(group, "multimodal") is True and not _is_base(str(text), models, suffixes))
        for place in places.values if chats and isinstance(places, ast.Dict) else ():
            if isinstance(place, ast.Constant):
                yield str(place.value).lower(), template


def _is_base(name: str, models: ast.Dict, suffixes: tuple[str, ...]) -> bool:
    """Whether a model is what another one of the group, with a chat model's name, was made of."""
    names = {one.value for one in models.keys if isinstance(one, ast.Constant)}
    return name.endswith("-Base") or any(f"{name}{suffix}" in names for suffix in suffixes)


def _name(call: ast.Call) -> str:
    return str(_constant(call, "name"))


def _constant(call: ast.Call, keyword: str) -> object:
    values = (word.value for word in call.keywords if word.arg == keyword)
    return next((value.value for value in values if isinstance(value, ast.Constant)), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
