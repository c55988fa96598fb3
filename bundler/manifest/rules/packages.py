"""Packages that a training needs, and that the requirements of its image lack.

LLaMA-Factory finds out when it starts (0.9.3, hparams/parser.py, _check_extra_dependencies), or only says so in its log
and trains in another way (flash-attn: model_utils/attention.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import KeyPath, Problem, shown
from bundler.manifest.pins import read_pins
from bundler.manifest.schema import Manifest
from bundler.manifest.training import Train
from bundler.manifest.version import Version

_NEAT_FROM, _NEAT_BELOW = Version("0.9.4"), Version("0.9.5")
_NEAT_TRANSFORMERS = "4.53.0"

_OPTIONAL = {
    "use_adam_mini": "adam-mini",
    "mixture_of_depths": "mixture-of-depth",
    "use_galore": "galore-torch",
    "use_apollo": "apollo-torch",
    "use_badam": "badam",
}
"""Arguments in `extra`, and the package that each asks for when it starts (LF 0.9.3, hparams/parser.py)."""


def packaged(manifest: Manifest) -> Iterator[Problem]:
    """Where the image's requirements are at hand, they, its files or its template name what the training needs."""
    train = manifest.train
    image = manifest.images.get(train.image) if train else None
    if not train or not isinstance(image, DockerfileImage):
        return
    directory = image.dockerfile.resolved
    pins = read_pins(directory)
    brought = " ".join((_template(directory), *image.files, *image.arguments.values()))
    for path, value, package in _needed(train) if pins else ():
        if package not in pins and package not in brought and package.replace("-", "_") not in brought:
            because = f"the requirements of the image '{train.image}' have no {package}"
            concerns = (("images", train.image, "dockerfile"),)
            yield Problem(path, shown(value), f"an image that has {package}", because, concerns=concerns)


def _needed(train: Train) -> Iterator[tuple[KeyPath, object, str]]:
    if train.deepspeed != "none":
        yield ("train", "deepspeed"), train.deepspeed, "deepspeed"
    if train.quantization != "none":
        yield ("train", "quantization"), train.quantization, "bitsandbytes"
    if train.flash_attn == "fa2":
        yield ("train", "flash_attn"), train.flash_attn, "flash-attn"
    if train.unsloth:
        yield ("train", "unsloth"), True, "unsloth"
    if train.liger:
        yield ("train", "liger"), True, "liger-kernel"
    if train.swanlab:
        yield ("train", "swanlab"), train.swanlab.mode, "swanlab"
    if train.swanlab and train.swanlab.mode == "local":  # swanlab 0.6.3, data/callbacker/local.py
        yield ("train", "swanlab", "mode"), train.swanlab.mode, "swanboard"
    for argument, package in _OPTIONAL.items():
        if train.extra.get(argument):
            yield ("train", "extra", argument), train.extra[argument], package
    if "tensorboard" in _reports(train):
        yield ("train", "extra", "report_to"), "tensorboard", "tensorboard"


def _reports(train: Train) -> tuple[object, ...]:
    named = train.extra.get("report_to")
    return tuple(named) if isinstance(named, list) else (named,)


def neat_packing(manifest: Manifest) -> Iterator[Problem]:
    """LF 0.9.4 takes no `neat_packing` with transformers 4.53 or newer (hparams/parser.py, get_train_args)."""
    from packaging.version import Version as Release

    train = manifest.train
    image = manifest.images.get(train.image) if train else None
    if not train or not train.neat_packing or not isinstance(image, DockerfileImage):
        return
    if not _NEAT_FROM <= train.llamafactory < _NEAT_BELOW:
        return
    pin = read_pins(image.dockerfile.resolved).get("transformers")
    if pin and pin.version and Release(pin.version) >= Release(_NEAT_TRANSFORMERS):
        because = f"LLaMA-Factory {train.llamafactory} refuses it with transformers {_NEAT_TRANSFORMERS} and newer"
        because += f", and the image has {pin.shown('transformers')}"
        concerns = (("train", "llamafactory"), ("images", train.image, "dockerfile"))
        expected = f"'packing: true', or transformers below {_NEAT_TRANSFORMERS}"
        yield Problem(("train", "neat_packing"), "true", expected, because, concerns=concerns)


def _template(directory: Path) -> str:
    try:
        return (directory / "Dockerfile.j2").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


RULES = (packaged, neat_packing)
