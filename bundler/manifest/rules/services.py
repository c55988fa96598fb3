"""Adapters served without a merge, and the services around a model: what they need, and from whom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from bundler.manifest.apps import EasyDataset, LlamaBoard, SwanlabBoard
from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import KeyPath, Problem, shown
from bundler.manifest.lora import LORA_RANKS
from bundler.manifest.names import TRAINED
from bundler.manifest.pins import read_pins
from bundler.manifest.rules.arguments import INFERENCE, repeated, secret
from bundler.manifest.schema import Manifest
from bundler.manifest.serving import AdaptedService, LlamaFactoryApi, SglangService, VllmService
from bundler.manifest.version import Version

_UNSERVED = {"additional_target": "modules_to_save", "use_dora": "DoRA"}
"""LLaMA-Factory's arguments that make adapters which vLLM refuses (VW lora/peft_helper.py; vllm#2847, #9280)."""

_MERGED = "the merged model: 'model: train' without 'adapter'"

_POSITIONS = ("rope_scaling", "hf_overrides")
"""What a server's `extra` can say of positions by itself."""

_EASY_DATASET_SINCE = Version("1.6.1")

_PACKAGES: tuple[tuple[type[LlamaBoard | SwanlabBoard | SglangService], str, str], ...] = (
    (LlamaBoard, "gradio", "LLaMA Board is a Gradio page"),
    (SwanlabBoard, "swanboard", "the dashboard is a package of its own: swanlab[dashboard]"),
    (SglangService, "sglang", "the service runs it"),
)


def adapters(manifest: Manifest) -> Iterator[Problem]:
    """An adapter is served over the model that it was trained on: method lora, of a rank that vLLM takes (512 at most),
    without DoRA and without further trained modules, which vLLM refuses in an adapter; those are merged.

    So is one that was trained with stretched positions: they are in the merged model's config, and not in the base's.
    LF's API would stretch by 2, whatever the training did (0.9.3, model_utils/rope.py and hparams/parser.py).
    """
    train = manifest.train
    for path, service in manifest.services_of(AdaptedService):
        if not service.adapter:
            continue
        at, concerns = (*path, "adapter"), (("train",), (*path, "model"))
        if train is None or train.method != "lora" or train.stage == "rm":
            wrong = "train.stage is rm, which scores answers and gives none"
            if train is None or train.method != "lora":
                wrong = f"train.method is {train.method}" if train else "there is no section 'train'"
            yield Problem(at, shown("train"), "a training job of method lora", wrong, concerns=concerns)
            continue
        if service.model != train.model:
            because = "an adapter goes with the model that it was trained on"
            yield Problem((*path, "model"), shown(service.model), shown(train.model), because, concerns=concerns)
        extra = service.extra if isinstance(service, (VllmService, LlamaFactoryApi)) else {}
        if train.rope_scaling and not any(name.lstrip("-").replace("-", "_") in _POSITIONS for name in extra):
            found, because = f"an adapter trained with {train.rope_scaling}", "the base's config has shorter positions"
            yield Problem(at, found, _MERGED, because, concerns=(("train", "rope_scaling"),))
        if isinstance(service, VllmService):
            yield from _taken_by_vllm(at, service, manifest)


def _taken_by_vllm(at: KeyPath, service: VllmService, manifest: Manifest) -> Iterator[Problem]:
    train = manifest.train
    if train is None:
        return
    if train.lora.rank > LORA_RANKS[-1]:
        found = f"an adapter of rank {train.lora.rank}"
        yield Problem(at, found, f"rank {LORA_RANKS[-1]} at most, or {_MERGED}", "vLLM takes no higher one",
                      concerns=(("train", "lora"),))  # fmt: skip
    for argument, what in _UNSERVED.items():
        if train.extra.get(argument):
            concerns = (("train", "extra", argument),)
            yield Problem(at, f"an adapter with {what}", _MERGED, f"vLLM refuses {what}", concerns=concerns)
    if service.name == service.model:
        because = "the model that it was trained on is served beside it under that name"
        yield Problem((*at[:-1], "name"), shown(service.name), "another name", because, concerns=(at,))


def apps(manifest: Manifest) -> Iterator[Problem]:
    """Easy Dataset 1.6.0 and older make no database of their own (easy-dataset#478)."""
    for path, service in manifest.services_of(EasyDataset):
        if service.easy_dataset < _EASY_DATASET_SINCE:
            because = "older ones need a command by hand before they work"
            wanted = f"{_EASY_DATASET_SINCE} or newer"
            yield Problem((*path, "easy_dataset"), str(service.easy_dataset), wanted, because)


def image_has_it(manifest: Manifest) -> Iterator[Problem]:
    """An image that is built from pinned requirements has what the service runs: gradio for LLaMA Board, the dashboard
    of SwanLab, SGLang in the version that the service names.
    """
    for kind, package, because in _PACKAGES:
        for path, service in manifest.services_of(kind):
            image = manifest.images.get(service.image)
            pins = read_pins(image.dockerfile.resolved) if isinstance(image, DockerfileImage) else {}
            concerns: tuple[KeyPath, ...] = (("images", service.image), (*path, "image"))
            if pins and package not in pins:
                found = f"the image {shown(service.image)}, whose requirements lack {package}"
                yield Problem((*path, "image"), found, f"one that has {package}", because, concerns=concerns)
            elif pins and isinstance(service, SglangService) and _other(pins[package].version, service.sglang):
                because = f"the image has {pins[package].shown(package)}"
                yield Problem((*path, "sglang"), str(service.sglang), pins[package].version, because, concerns=concerns)


def _other(pinned: str, stated: Version) -> bool:
    try:
        return Version.parse(pinned) != stated
    except ValueError:
        return False


def inference(manifest: Manifest) -> Iterator[Problem]:
    """`extra` of LLaMA-Factory's API repeats no argument that has its own key, and carries no secret."""
    for path, service in manifest.services_of(LlamaFactoryApi):
        inside = (*path, "extra")
        yield from chain(repeated(inside, service.extra, INFERENCE), secret(inside, service.extra))
        train = manifest.train
        if train and TRAINED in (service.model, service.adapter) and service.template != train.template:
            because = "the model was trained with the other one (LF#4639, #6736)"
            yield Problem((*path, "template"), shown(service.template), shown(train.template), because,
                          concerns=(("train", "template"),))  # fmt: skip


RULES = (adapters, apps, image_has_it, inference)
