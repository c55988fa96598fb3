"""What the requirements in a directory pin: packages, their exact versions, and wheels that are named by address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_FILES = ("requirements.in", "requirements.txt")
"""What a person wrote is looked at first: its line is the one to correct."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A package in a file of requirements. `version` is empty where none is pinned, `wheel` where none is named."""

    where: str
    version: str
    wheel: str = ""

    def shown(self, package: str) -> str:
        """The package as messages name it: with its version, and where it stands."""
        return f"{package} {self.version or 'without a version'} ({self.where})"


def read_pins(directory: Path) -> Mapping[str, Pin]:
    """The packages that a dockerfile's directory asks for, by their canonical names; lines that pip alone reads do not
    count."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    pins: dict[str, Pin] = {}
    for file in _FILES:
        try:
            lines = (directory / file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for number, line in enumerate(lines, 1):
            if line.lstrip().startswith(("--", "#")):
                continue  # most lines of a lock are hashes, and each that is no requirement costs an exception
            try:
                requirement = Requirement(line.partition(" #")[0].rstrip("\\ "))
            except InvalidRequirement:
                continue  # a comment, a hash or an option: pip reads those when the image is built
            exact = [one.version for one in requirement.specifier if one.operator == "=="]
            version = exact[0] if exact and "*" not in exact[0] else ""
            wheel = PurePosixPath(unquote(urlsplit(requirement.url or "").path)).name
            pin = Pin(f"{directory.name}/{file}:{number}", version, wheel if wheel.endswith(".whl") else "")
            pins.setdefault(canonicalize_name(requirement.name), pin)
    return pins
