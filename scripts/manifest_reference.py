"""Writes docs/manifest.md from the manifest's own schema and rules: `python -m scripts.manifest_reference`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bundler.core.digest import Digest
from bundler.core.size import format_size
from bundler.manifest.apps import EasyDataset, LlamaBoard, SwanlabBoard
from bundler.manifest.artifacts import (
    DockerfileImage,
    HuggingFaceModel,
    ManyHubsModel,
    RegistryImage,
    UrlDataset,
    UrlModel,
)
from bundler.manifest.fields import Section
from bundler.manifest.gpus import GPUS
from bundler.manifest.rules import RULES
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import LlamaFactoryApi, SglangService, VllmService

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "manifest.md"
EXAMPLE = ROOT / "manifests" / "qwen3-32b-l20x4.yaml"

INTRODUCTION = """\
# The manifest
<!-- Written by `python -m scripts.manifest_reference` from bundler/manifest; a test holds it up to date. -->

A manifest is the YAML file that says what crosses the gap and what runs behind it. `bundle lock MANIFEST` pins all
that it names. All that is wrong with a manifest is told at once, each with its line, what was found and what was
expected; unknown keys are errors. `bundle schema` prints the JSON Schema, for editors.

- Paths are relative to the manifest.
- YAML is read by its version 1.2: `1e-4` is a number, `no` and `on` are text. Nothing is converted: versions go in
  quotes (`"0.10"` as a number would be 0.1), whole numbers don't.
- Names (of images, models, datasets, services) are lower-case letters and digits, in them also `-`, `_`, `.`. An
  artifact's name is its own among all images, models and datasets.
- Secrets have no place in a manifest. Logins are those of the tools that own them: Docker's, the hub's, pip's.
"""

_EMPTY = Digest.of(b"").hex

EXAMPLES: Mapping[type[Section], str] = {
    DockerfileImage: """\
dockerfile: ../dockerfiles/cuda12.6-torch2.6
base: pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel
""",
    RegistryImage: "registry: vllm/vllm-openai:v0.8.5.post1\n",
    HuggingFaceModel: 'huggingface: Qwen/Qwen3-32B\nrevision: main\nexclude: ["*.md"]\n',
    ManyHubsModel: """\
from:
  - modelscope: Qwen/Qwen3-32B
  - huggingface: Qwen/Qwen3-32B
""",
    UrlModel: f"""\
files:
  config.json: {{url: "https://files.example.org/tiny/config.json", sha256: {_EMPTY}}}
  model.safetensors: {{url: "https://files.example.org/tiny/model.safetensors", sha256: {_EMPTY}}}
""",
    VllmService: """\
image: serve
vllm: "0.8.5.post1"
model: base
adapter: train
name: tuned
api_key_file: /etc/bundle/serve.key
""",
    SglangService: 'image: sglang\nsglang: "0.4.6.post5"\nmodel: train\nname: tuned\ntensor_parallel: 4\n',
    LlamaFactoryApi: """\
image: train
llamafactory_api: "0.9.3"
model: base
adapter: train
template: qwen3
name: tuned
port: 8001
""",
    LlamaBoard: '{image: train, llamaboard: "0.9.3"}\n',
    EasyDataset: '{image: easy-dataset, easy_dataset: "1.7.3"}\n',
    SwanlabBoard: '{image: train, swanlab: "0.6.4"}\n',
    UrlDataset: f'url: "https://files.example.org/maintenance.json"\nsha256: {_EMPTY}\n',
}


def render() -> str:
    """The page."""
    schema = Manifest.model_json_schema()
    parts = [INTRODUCTION, f"```yaml\n{EXAMPLE.read_text()}```\n", *_section("Manifest", schema, schema)]
    for name in _order(schema):
        parts += _section(name, schema["$defs"][name], schema)
    return "\n".join([*parts, *_gpus(), *_rules()])


def _order(schema: Mapping[str, Any]) -> list[str]:
    """The sections in the order in which a reader meets them."""
    found: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, Mapping):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name != "JsonValue" and name not in found:
                found.append(name)
                visit(schema["$defs"][name])
            for key, inner in node.items():
                if key != "$defs":
                    visit(inner)
        elif isinstance(node, list):
            for inner in node:
                visit(inner)

    visit(schema["properties"])
    return found


def _section(name: str, section: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    shape = next(arm for arm in (section, *section.get("anyOf", [])) if "properties" in arm)
    yield f"## {name}\n"
    yield shape["description"].replace("\n\n", "\n") + "\n"
    example = next((text for kind, text in EXAMPLES.items() if kind.__name__ == name), None)
    if example:
        yield f"```yaml\n{example}```\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key, member in shape["properties"].items():
        default = "required" if key in shape.get("required", []) else _default(member)
        yield f"| `{key}` | {_kind(member, schema)} | {default} | {member['description']} |"
    yield ""


def _default(member: Mapping[str, Any]) -> str:
    value = member.get("default")
    if value is None or value in ({}, []) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(member: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a key may be, in a few words."""
    if "$ref" in member:
        name = str(member["$ref"]).rpartition("/")[2]
        return "any value" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "const" in member:
        return f"`{member['const']}`"
    if "enum" in member:
        return ", ".join(f"`{choice}`" for choice in member["enum"])
    arms = [arm for arm in (*member.get("anyOf", []), *member.get("oneOf", [])) if arm.get("type") != "null"]
    if arms:
        return " or ".join(_kind(arm, schema) for arm in arms)
    if member.get("type") == "array":
        return "list of " + _kind(member["items"], schema)
    if member.get("type") == "object":
        inner = next(iter(member.get("patternProperties", {}).values()), member.get("additionalProperties"))
        return f"by name: {_kind(inner or {}, schema)}"
    words = {"string": member.get("format", "text"), "integer": "whole number", "number": "number"}
    return str(words.get(member.get("type", ""), "true or false")) + _bounds(member)


def _bounds(member: Mapping[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    bounds = [f"{word} {member[key]:g}" for key, word in words.items() if key in member]
    return f", {' '.join(bounds)}" if bounds else ""


def _gpus() -> Iterator[str]:
    yield "## GPUs\n"
    yield "What `target.gpu` may name; brand, case, spaces and hyphens don't matter. Any other GPU can be a target too:"
    yield "with its `memory` and `capability` written beside it.\n"
    yield "| GPU | compute capability | memory |"
    yield "|---|---|---|"
    for gpu in GPUS:
        yield f"| {gpu.name} | {gpu.capability} | {' or '.join(format_size(size) for size in gpu.memory)} |"
    yield ""


def _rules() -> Iterator[str]:
    yield "## What is refused\n"
    yield "Beside wrong keys and values, what can't work and can be seen in the manifest alone. (LF: LLaMA-Factory, VW:"
    yield "the vLLM 0.8.5.post1 wheel, `#n`: an issue of theirs.)\n"
    for rule in RULES:
        text = " ".join((inspect.getdoc(rule) or "").split())
        yield f"- {text}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(render())
