"""Images built from a dockerfile: do the versions in its requirements go together?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import Problem
from bundler.manifest.schema import Manifest
from bundler.manifest.version_sets import APART, BOUNDS, NEW_ABI_BASES, OLD_ABI

_FILES = ("requirements.in", "requirements.txt")
"""What a person wrote is looked at first: its line is the one to correct."""


@dataclass(frozen=True, slots=True)
class _Pin:
    where: str
    version: str

    def shown(self, package: str) -> str:
        return f"{package} {self.version or 'without a version'} ({self.where})"


def requirements_go_together(manifest: Manifest) -> Iterator[Problem]:
    """What LLaMA-Factory, vLLM and SGLang hold their neighbours to is kept by the requirements of an image.

    pip takes some of these pairs and the import fails later: LF compares versions when it starts, and an unpinned
    transformers resolves to 5. The bounds and their sources are in bundler/manifest/version_sets.py.
    """
    for name, image in manifest.images.items():
        if not isinstance(image, DockerfileImage):
            continue
        pins = _pins(image.dockerfile.resolved)
        path = ("images", name, "dockerfile")
        for found, expected, because in (*_outside(pins), *_together(pins)):
            yield Problem(path, found, expected, because)


def base_and_requirements_go_together(manifest: Manifest) -> Iterator[Problem]:
    """The PyTorch of a pytorch/pytorch base is the one that the requirements count on, and has their wheels' ABI.

    pip sees neither: it compares version numbers, and an ABI shows when the package is imported.
    """
    from packaging.specifiers import SpecifierSet

    for name, image in manifest.images.items():
        if not isinstance(image, DockerfileImage) or image.base.repository != "pytorch/pytorch":
            continue
        tag = image.base.tag or ""
        pins = _pins(image.dockerfile.resolved)
        path = ("images", name, "base")
        torch = pins.get("torch")
        shipped = re.match(r"\d+\.\d+\.\d+(?=-cuda)", tag)
        if torch and torch.version and shipped and torch.version.partition("+")[0] != shipped[0]:
            because = f"the requirements count on {torch.shown('torch')}, and the base brings {shipped[0]}"
            yield Problem(path, tag, f"{torch.version.partition('+')[0]}-cuda...", because)
        if not re.fullmatch(NEW_ABI_BASES, tag):
            continue
        for package, versions in OLD_ABI:
            pin = pins.get(package)
            if pin and pin.version and SpecifierSet(versions).contains(pin.version, prereleases=True):
                because = "its wheels want PyTorch's old C++ ABI, and PyTorch 2.6.0 for CUDA 12.6 has the new one"
                expected = f"{package} in an image of its own: for vLLM, registry: vllm/vllm-openai:v0.8.5.post1"
                yield Problem(("images", name, "dockerfile"), pin.shown(package), expected, because)


def _outside(pins: Mapping[str, _Pin]) -> Iterator[tuple[str, str, str]]:
    from packaging.specifiers import SpecifierSet

    for bound in BOUNDS:
        package, neighbour = pins.get(bound.package), pins.get(bound.neighbour)
        if package is None or neighbour is None or not package.version:
            continue
        if not SpecifierSet(bound.versions).contains(package.version, prereleases=True):
            continue
        if not neighbour.version or not SpecifierSet(bound.allowed).contains(neighbour.version, prereleases=True):
            because = f"{bound.package} {package.version} is in the same image; {bound.source}"
            yield neighbour.shown(bound.neighbour), f"{bound.neighbour}{bound.allowed}", because


def _together(pins: Mapping[str, _Pin]) -> Iterator[tuple[str, str, str]]:
    for one, other, because in APART:
        if one in pins and other in pins:
            yield f"{pins[one].shown(one)} beside {pins[other].shown(other)}", "an image for each", because


def _pins(directory: Path) -> dict[str, _Pin]:
    """Packages and their exact versions (empty where none is pinned), from the requirements in a directory."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    pins: dict[str, _Pin] = {}
    for file in _FILES:
        try:
            lines = (directory / file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(lines, 1):
            try:
                requirement = Requirement(line.partition(" #")[0].rstrip("\\ "))
            except InvalidRequirement:
                continue  # a comment, a hash or an option: pip reads those when the image is built
            exact = [one.version for one in requirement.specifier if one.operator == "=="]
            pins.setdefault(
                canonicalize_name(requirement.name),
                _Pin(f"{directory.name}/{file}:{number}", exact[0] if exact and "*" not in exact[0] else ""),
            )
    return pins


RULES = (requirements_go_together, base_and_requirements_go_together)
