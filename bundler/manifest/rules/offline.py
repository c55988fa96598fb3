"""Arguments passed through that would be looked for on a network, or on a disk that no container sees.

Behind the gap nothing answers, and a container sees what the manifest names: models, datasets, its own results. A
repository's name in the place of a directory is asked of a hub, also in offline mode (LF#3830; vllm#1910, #3719, #8458,
#12378, #23684).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bundler.manifest.findings import KeyPath, Problem, shown
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import LlamaFactoryApi, SglangService, VllmService

_MOUNTED = "/bundle/"
"""Where everything of a bundle lies in a container (workloads/paths.py)."""

_MODELS = (
    "adapter_name_or_path", "adapter_folder", "ref_model", "ref_model_adapters", "reward_model",
    "reward_model_adapters",
)  # fmt: skip
"""LLaMA-Factory's arguments that name a further model (0.9.3, hparams)."""

_HUB = ("push_to_hub", "push_to_hub_model_id", "push_to_hub_organization", "hub_model_id", "hub_always_push",
        "use_modelscope_hub", "use_openmind_hub")  # fmt: skip
_REPORTS = ("none", "tensorboard")
"""`report_to` that needs no server. A tracker that asks for a login ends the training (LF 0.9.3 hands it on)."""

_SWANLAB = {"swanlab": "the section 'train.swanlab'"}

_SERVER_FILES = (
    "tokenizer", "hf-config-path", "chat-template", "tool-parser-plugin", "qlora-adapter-name-or-path",
    "tokenizer-path", "speculative-draft-model-path",
)  # fmt: skip
"""Flags of vLLM 0.8.5 and SGLang 0.4.6 that name a model or a file. A chat template may stand there itself."""


def trainer(manifest: Manifest) -> Iterator[Problem]:
    """What `train.extra` would fetch from a hub, send to a tracker, or look for on a disk."""
    train = manifest.train
    for name, value in (train.extra if train else {}).items():
        path = ("train", "extra", name)
        if value in (None, False):
            continue
        if name in _MODELS:
            because = "nothing but the model of 'train.model' is in the container, and no hub answers there"
            yield Problem(path, shown(value), "nothing", because, at_key=True)
        elif name in _HUB:
            because = "the container has no network, and the training would end"
            yield Problem(path, shown(name), "nothing", because, at_key=True)
        elif name == "report_to":
            yield from _reports(path, value)


def _reports(path: KeyPath, value: Any) -> Iterator[Problem]:
    for tracker in value if isinstance(value, list) else [value]:
        if isinstance(tracker, str) and tracker not in _REPORTS:
            expected = _SWANLAB.get(tracker, f"one of {', '.join(_REPORTS)}")
            yield Problem(path, shown(tracker), expected, "the container has no network to report to")


def other_programs(manifest: Manifest) -> Iterator[Problem]:
    """Arguments under `train.extra` that belong to the merge or to a server: training refuses or ignores them."""
    train = manifest.train
    for name, value in (train.extra if train else {}).items():
        path = ("train", "extra", name)
        if name == "infer_backend" and value != "huggingface":
            because = "LLaMA-Factory trains with its own alone, and refuses to start"
            yield Problem(path, shown(value), "nothing", because, at_key=True)
        elif name.startswith(("export_", "vllm_", "sglang_")):
            because = "train.yaml is no place for it: the bundle renders the merge, and servers have sections"
            yield Problem(path, shown(name), "nothing", because, at_key=True)


def servers(manifest: Manifest) -> Iterator[Problem]:
    """Models and files under a server's `extra` that are not in its container."""
    passed: list[tuple[KeyPath, Mapping[str, Any]]] = []
    passed += ((path, service.extra) for path, service in manifest.services_of(VllmService))
    passed += ((path, service.extra) for path, service in manifest.services_of(SglangService))
    for path, extra in passed:
        for name, value in extra.items():
            flag = name.lstrip("-").replace("_", "-")
            inside = (*path, "extra", name)
            if flag in _SERVER_FILES and isinstance(value, str) and not value.startswith((_MOUNTED, "{")):
                yield _unseen(inside, value)
            elif flag == "speculative-config" and isinstance(value, Mapping):
                model = value.get("model")
                if isinstance(model, str) and "/" in model and not model.startswith(_MOUNTED):
                    yield _unseen((*inside, "model"), model)
    for api_path, api in manifest.services_of(LlamaFactoryApi):
        for name, value in api.extra.items():
            if name in _MODELS and name != "adapter_name_or_path" and value:
                yield _unseen((*api_path, "extra", name), value)


def _unseen(path: KeyPath, value: Any) -> Problem:
    because = "the container sees its model and nothing else, and no hub answers behind the gap"
    return Problem(path, shown(value), "nothing, or a path below /bundle/model", because)


RULES = (trainer, other_programs, servers)
