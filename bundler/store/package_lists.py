"""What package managers write down of what they installed: dpkg's status, pip's METADATA. Pure functions of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """An installed package. `kind` is deb, rpm or pypi; `architecture` and `licence` are empty where none is stated."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A Linux distribution by its os-release: `debian`, `12` (os-release(5)); empty where there is none."""

    id: str = ""
    version: str = ""


def os_release(raw: bytes) -> Distribution:
    """Read an os-release file."""
    pairs = (line.partition("=") for line in raw.decode(errors="replace").splitlines())
    values = {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    return Distribution(values.get("ID", ""), values.get("VERSION_ID", ""))


def dpkg_packages(raw: bytes) -> Iterator[Package]:
    """The installed packages of a `status` file, or of one of distroless's `status.d` (no Status, one package).

    A package whose files are gone (`deinstall ok config-files`) is not installed (dpkg(1), PACKAGE STATES).
    """
    for stanza in raw.decode(errors="replace").split("\n\n"):
        fields = _fields(stanza)
        if fields.get("package") and fields.get("version") and fields.get("status", "installed").endswith("installed"):
            yield Package("deb", fields["package"], fields["version"], fields.get("architecture", ""))


def python_package(raw: bytes) -> Package | None:
    """The distribution that a METADATA or PKG-INFO describes (core metadata specifications); None without a name."""
    fields = _fields(raw.decode(errors="replace").replace("\r\n", "\n").partition("\n\n")[0])
    name, version = fields.get("name"), fields.get("version")
    if not name or not version:
        return None
    licence = fields.get("license-expression") or fields.get("license", "").strip()
    return Package("pypi", name, version, licence=licence if len(licence) <= 100 and licence != "UNKNOWN" else "")


def _fields(stanza: str) -> dict[str, str]:
    """A stanza's fields with lower-case names; the first of several, and of those of several lines the first line."""
    found: dict[str, str] = {}
    for line in stanza.split("\n"):
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            found.setdefault(name.lower(), value.strip())
    return found
