"""A manifest that is right, to be made wrong in one place; and what the loader says of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.manifest.findings import Finding, ManifestRejected
from bundler.manifest.loader import load
from bundler.manifest.schema import Manifest

REMOVED = object()

DOCUMENT: dict[str, Any] = {
    "name": "example",
    "version": "1.0",
    "target": {"gpu": "L20", "count": 4},
    "images": {
        "train": {"dockerfile": "cuda12.6-torch2.6", "base": "pytorch/pytorch:2.6.0-cuda12.6-cudnn9-devel"},
        "serve": {"registry": "vllm/vllm-openai:v0.8.5.post1"},
    },
    "models": {"base": {"huggingface": "Qwen/Qwen3-32B"}},
    "datasets": {"pumps": {"path": "pumps.json"}},
    "train": {
        "image": "train",
        "llamafactory": "0.9.3",
        "model": "base",
        "datasets": ["pumps"],
        "template": "qwen3",
    },
    "serve": {"image": "serve", "vllm": "0.8.5.post1", "model": "train", "name": "tuned", "tensor_parallel": 4},
    "ask": "Which pump?",
}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The document with the values at these dotted paths set, or REMOVED."""
    document = copy.deepcopy(DOCUMENT)
    for path, value in changes.items():
        place: Any = document
        *parents, last = path.split(".")
        for part in parents:
            place = place.setdefault(part, {})
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return document


def write(directory: Path, document: dict[str, Any] | str) -> Path:
    """A manifest, in a directory that has the dockerfiles which it names."""
    for name in ("cuda12.6-torch2.6", "cuda12.8-torch2.7"):
        (directory / name).mkdir(exist_ok=True)
        (directory / name / "Dockerfile.j2").touch()
    path = directory / "bundle.yaml"
    text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def manifest(directory: Path, changes: dict[str, Any]) -> Manifest:
    """The document with these changes, loaded."""
    return load(write(directory, changed(changes)))


def findings(path: Path) -> tuple[Finding, ...]:
    """What the loader has against a manifest."""
    with pytest.raises(ManifestRejected) as caught:
        load(path)
    return caught.value.findings


def assert_refused(directory: Path, changes: dict[str, Any], path: str, words: str) -> None:
    """The document with these changes is refused for one thing: at this path, in these words, with its line."""
    (one,) = findings(write(directory, changed(changes)))
    assert one.path == path
    assert words in str(one)
    assert one.line > 0
