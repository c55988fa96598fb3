"""The base of a dockerfile: does what is installed on it go with the PyTorch that it brings?

pip sees nothing of this: it compares version numbers, and an ABI shows when the package is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from bundler.core.reference import Reference
from bundler.manifest.artifacts import DockerfileImage
from bundler.manifest.findings import KeyPath, Problem
from bundler.manifest.pins import Pin, read_pins
from bundler.manifest.rules.target import images_have_code_for_it
from bundler.manifest.schema import Manifest
from bundler.manifest.version_sets import BASES, OLD_ABI, SETS, Base

_TAG = re.compile(r"(?P<torch>\d+\.\d+\.\d+)-cuda(?P<cuda>\d+\.\d+)-.*")
_STATED = re.compile(r"cuda(?P<cuda>\d+\.\d+)-torch(?P<torch>\d+\.\d+)")
_BUILD = re.compile(r"cu(?P<cuda>\d\d)\d*torch(?P<torch>\d+\.\d+)(?:\.\d+)?(?:cxx11abi(?P<abi>true|false))?")
"""What the local version of a wheel that was built for one PyTorch says (flash-attention, setup.py), in lower case, as
`packaging` gives it."""
_INTERPRETER = re.compile(r"cp(\d)(\d+)")


@dataclass(frozen=True, slots=True)
class _OnPytorch:
    """An image of a manifest on a base of pytorch/pytorch, wherever a mirror keeps it."""

    path: KeyPath
    image: DockerfileImage
    tag: str
    base: Base
    pins: Mapping[str, Pin]


def base_has_the_pytorch(manifest: Manifest) -> Iterator[Problem]:
    """The base brings the PyTorch that the requirements count on, for the CUDA that their directory is named for."""
    told = {problem.path[:2] for problem in images_have_code_for_it(manifest)}
    for one in _on_pytorch(manifest):
        path = (*one.path, "base")
        torch = one.pins.get("torch")
        wanted = torch.version.partition("+")[0] if torch else ""
        stated = _STATED.search(one.image.dockerfile.resolved.name)
        if torch and wanted and wanted != one.base.torch:
            because = f"the requirements count on {torch.shown('torch')}, and the base brings {one.base.torch}"
            yield Problem(path, one.tag, f"{wanted}-cuda...", because)
        elif stated and one.path not in told and not _as_stated(one.base, stated["cuda"], stated["torch"]):
            because = f"the requirements are for {stated[0]}, and the base brings {_named(one.base)}"
            yield Problem(path, one.tag, _expected(stated["cuda"], stated["torch"]), because)


def base_has_the_abi(manifest: Manifest) -> Iterator[Problem]:
    """The base's PyTorch has the C++ ABI that the wheels of the requirements want."""
    from packaging.specifiers import SpecifierSet

    for one in _on_pytorch(manifest):
        for package, versions in OLD_ABI if one.base.new_abi else ():
            pin = one.pins.get(package)
            if pin and pin.version and SpecifierSet(versions).contains(pin.version, prereleases=True):
                because = f"its wheels want PyTorch's old C++ ABI, and {_named(one.base)} has the new one"
                expected = f"{package} in an image of its own: for vLLM, registry: vllm/vllm-openai:v0.8.5.post1"
                yield Problem((*one.path, "dockerfile"), pin.shown(package), expected, because)


def wheels_are_for_the_base(manifest: Manifest) -> Iterator[Problem]:
    """A wheel that was built for one PyTorch is for the base's: its Python, CUDA, PyTorch and C++ ABI.

    The wrong one installs, and its import ends in an undefined symbol (flash-attention#1644, #1783; LF#4779).
    """
    for one in _on_pytorch(manifest):
        for path, wheel in _wheels(one):
            wrong = list(unfit(wheel, one.base))
            if wrong:
                found = ", ".join(found for found, _ in wrong)
                yield Problem(path, wheel, f"a wheel for {', '.join(wanted for _, wanted in wrong)}",
                              f"it is built for {found}, and the base is {one.tag}")  # fmt: skip


def unfit(wheel: str, base: Base) -> Iterator[tuple[str, str]]:
    """What a wheel's name says that is not so in a base: found and wanted. A name that says nothing fits."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        _, version, _, tags = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        return
    pythons = {f"{match[1]}.{match[2]}" for tag in tags if (match := _INTERPRETER.fullmatch(tag.interpreter))}
    stable = any(tag.abi == "abi3" for tag in tags)  # for its Python and all newer ones (PEP 425)
    if pythons and not stable and base.python not in pythons:
        yield f"Python {', '.join(sorted(pythons))}", f"Python {base.python}"
    build = _BUILD.search(version.local or "")
    if not build:
        return
    if build["cuda"] != base.cuda.partition(".")[0]:
        yield f"CUDA {build['cuda']}", f"CUDA {base.cuda.partition('.')[0]}"
    if not base.torch.startswith(f"{build['torch']}."):
        yield f"PyTorch {build['torch']}", f"PyTorch {base.torch.rpartition('.')[0]}"
    elif build["abi"] and base.new_abi is not None and (build["abi"] == "true") is not base.new_abi:
        yield f"cxx11abi{build['abi'].upper()}", f"cxx11abi{str(base.new_abi).upper()}"


def _wheels(one: _OnPytorch) -> Iterator[tuple[KeyPath, str]]:
    """The wheels by name that an image is given: in arguments, as files, by address in its requirements."""
    for key, value in one.image.arguments.items():
        if value.endswith(".whl"):
            yield (*one.path, "arguments", key), PurePath(value).name
    for key, file in one.image.files.items():
        if file.resolved.name.endswith(".whl"):
            yield (*one.path, "files", key), file.resolved.name
    for pin in one.pins.values():
        if pin.wheel:
            yield (*one.path, "dockerfile"), pin.wheel


def _on_pytorch(manifest: Manifest) -> Iterator[_OnPytorch]:
    for name, image in manifest.images.items():
        if not isinstance(image, DockerfileImage) or not image.dockerfile.resolved.is_dir():
            continue  # a directory that is not there is told by itself
        if base := base_of(image.base):
            pins = read_pins(image.dockerfile.resolved)
            yield _OnPytorch(("images", name), image, image.base.tag or "", base, pins)


def base_of(reference: Reference) -> Base | None:
    """What a pytorch/pytorch image brings, by its tag; None for other images, and where a digest stands alone."""
    if not f"/{reference.repository}".endswith("/pytorch/pytorch"):
        return None
    match = _TAG.fullmatch(reference.tag or "")
    if not match:
        return None
    known = (base for base in BASES if (base.torch, base.cuda) == (match["torch"], match["cuda"]))
    return next(known, None) or Base(match["torch"], match["cuda"])


def _as_stated(base: Base, cuda: str, torch: str) -> bool:
    return base.cuda == cuda and base.torch.startswith(f"{torch}.")


def _expected(cuda: str, torch: str) -> str:
    sets = (one for one in SETS if one.cuda == cuda and one.torch.startswith(f"{torch}."))
    return next((one.base for one in sets), f"a tag of {torch} for CUDA {cuda}")


def _named(base: Base) -> str:
    return f"PyTorch {base.torch} for CUDA {base.cuda}"


RULES = (base_has_the_pytorch, base_has_the_abi, wheels_are_for_the_base)
