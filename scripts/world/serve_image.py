"""The stand-in for an image that someone else has published: vLLM for CPU, named by tag."""

from __future__ import annotations

from pathlib import Path

from scripts.world import base_image, pip
from scripts.world.builder import Dockerfile, build
from scripts.world.engine import Engine
from scripts.world.errors import WorldError
from scripts.world.place import CHECKOUT
from scripts.world.registry import Registry

REPOSITORY, TAG = "vllm-cpu", "0.32.0"


def push_serve_image(registry: Registry, engine: Engine, wheels: Path, pip_conf: Path) -> bool:
    """Build the image and push it; False when the registry has it."""
    if registry.digest(REPOSITORY, TAG):
        return False
    base = registry.digest(base_image.REPOSITORY, base_image.TAG)
    if base is None:
        raise WorldError("the registry has no base image", "python -m scripts.world prepare")
    # The reference that a manifest resolves the same tag to, so that both builds share the torch layer.
    pinned = f"{registry.address}/{base_image.REPOSITORY}@{base}"
    dockerfile = Dockerfile(
        CHECKOUT / "dockerfiles" / "cpu-serve",
        pinned,
        {"torch": pip.TORCH, "vllm": TAG},
        {"wheels": wheels},
    )
    reference = f"{registry.address}/{REPOSITORY}:{TAG}"
    build(dockerfile, reference, engine, pip_conf)
    engine.docker("push", "--quiet", reference)
    return True
