"""Images built from a dockerfile: do the versions in its requirements go together?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import Problem
from bundler.manifest.pins import Pin, read_pins
from bundler.manifest.schema import Manifest
from bundler.manifest.version_sets import APART, BOUNDS


def requirements_go_together(manifest: Manifest) -> Iterator[Problem]:
    """What LLaMA-Factory, vLLM and SGLang hold their neighbours to is kept by the requirements of an image.

    pip takes some of these pairs and the import fails later: LF compares versions when it starts, and an unpinned
    transformers resolves to 5. The bounds and their sources are in bundler/manifest/version_sets.py.
    """
    for name, image in manifest.images.items():
        if not isinstance(image, DockerfileImage):
            continue
        pins = read_pins(image.dockerfile.resolved)
        path = ("images", name, "dockerfile")
        for found, expected, because in (*_outside(pins), *_together(pins)):
            yield Problem(path, found, expected, because)


def _outside(pins: Mapping[str, Pin]) -> Iterator[tuple[str, str, str]]:
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


def _together(pins: Mapping[str, Pin]) -> Iterator[tuple[str, str, str]]:
    for one, other, because in APART:
        if one in pins and other in pins:
            yield f"{pins[one].shown(one)} beside {pins[other].shown(other)}", "an image for each", because


RULES = (requirements_go_together,)
