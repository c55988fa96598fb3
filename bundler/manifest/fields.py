"""What the manifest's sections are made of: the strict base model, and values that are parsed once and then trusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from bundler.core.errors import BundlerError
from bundler.core.reference import Reference
from bundler.core.size import parse_size
from bundler.manifest.gpus import Capability
from bundler.manifest.lock import UnsafePath, checked_absolute, checked_path
from bundler.manifest.version import Version

NAME = r"[a-z0-9]+(?:[-_.][a-z0-9]+)*"
"""Names become directories, container names and OCI reference names: what is allowed in all of them."""


class Section(BaseModel):
    """A mapping of the manifest. Unknown keys are refused and nothing is converted: `"8"` is not 8, `yes` not true."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class ManifestPath:
    """A path as the manifest writes it, and where that is, seen from the manifest's directory."""

    written: str
    resolved: Path

    def __str__(self) -> str:
        return self.written


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(expected)
    return value


def _path(value: object, info: ValidationInfo) -> ManifestPath:
    if isinstance(value, ManifestPath):
        return value
    written = _text(value, "a path, relative to the manifest")
    if "\0" in written:
        raise ValueError("a path without NUL characters")
    directory = Path((info.context or {}).get("directory", "."))
    return ManifestPath(written, directory / written)


def _version(value: object) -> Version:
    if isinstance(value, Version):
        return value
    expected = 'a version in quotes, like "0.9.3" or "0.8.5.post1"'
    try:
        return Version.parse(_text(value, expected))
    except ValueError:
        raise ValueError(expected) from None


def _capability(value: object) -> Capability:
    if isinstance(value, Capability):
        return value
    expected = 'a compute capability in quotes, like "8.9"'
    try:
        return Capability.parse(_text(value, expected))
    except ValueError:
        raise ValueError(expected) from None


def _reference(value: object) -> Reference:
    if isinstance(value, Reference):
        return value
    try:
        return Reference.parse(_text(value, "an image reference: [registry/]repository[:tag][@sha256:...]"))
    except BundlerError as error:
        raise ValueError(f"an image reference: {error.because}") from error


def _size(value: object) -> int:
    expected = "a size with its unit, like 48GiB or 48GB"
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    try:
        size = parse_size(_text(value, expected))
    except ValueError:
        raise ValueError(expected) from None
    if size <= 0:
        raise ValueError(expected)
    return size


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise ValueError("a name of lower-case letters and digits, in it also '-', '_' or '.'")
    return value


def _bundle_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(?:[-.][a-z0-9]+)*", value):
        raise ValueError("a name of lower-case letters and digits, in it also '-' or '.'")
    return value


def _bundle_version(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]+(?:[-._][A-Za-z0-9]+)*", value):
        raise ValueError("a version of letters and digits, in it also '-', '.' or '_'")
    return value


def _driver(value: str) -> str:
    if not re.fullmatch(r"[0-9]{3,4}(\.[0-9]+){0,2}", value):
        raise ValueError('a driver version in quotes, like "550" or "550.54.15"')
    return value


def _full_line(value: str) -> str:
    if not value.strip() or any(character in value for character in "\0\r\n"):
        raise ValueError("text on one line, not empty")
    return value


def _argument_name(value: str) -> str:
    if not re.fullmatch(r"(--)?[A-Za-z][A-Za-z0-9_.-]*", value):
        raise ValueError("an argument's name of letters, digits, '-', '_' and '.'")
    return value


def _address(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise ValueError("an IP address, like 127.0.0.1 or 0.0.0.0") from None
    return value


def _url(value: str) -> str:
    expected = "a URL, http or https, without user name and password"
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises for what is not a port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(expected)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{expected}; other letters as %XX")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("64 hexadecimal digits, as sha256sum prints them")
    return value


def _file_path(value: str) -> str:
    try:
        return checked_path(value)
    except UnsafePath:
        raise ValueError("a file's path in the model, like 'config.json'") from None


def _node_path(value: str) -> str:
    try:
        return checked_absolute(value)
    except UnsafePath:
        raise ValueError("a file's whole path on the node, like /etc/bundle/api-key") from None


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("at least one in the list")
    return value


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


Line = Annotated[str, AfterValidator(_full_line)]
Name = Annotated[str, AfterValidator(_name), _text_schema(pattern=f"^{NAME}$")]
BundleNameText = Annotated[str, AfterValidator(_bundle_name)]
BundleVersionText = Annotated[str, AfterValidator(_bundle_version)]
DriverText = Annotated[str, AfterValidator(_driver)]
Lines = Annotated[tuple[Line, ...], Field(strict=False)]
"""A YAML list of texts. Not strict: a list becomes a tuple."""
Names = Annotated[tuple[Line, ...], Field(strict=False, json_schema_extra={"minItems": 1}), AfterValidator(_not_empty)]
RepositoryField = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$")]
OwnedRepositoryField = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")]
UrlField = Annotated[str, AfterValidator(_url), _text_schema(format="URL")]
Sha256Field = Annotated[str, AfterValidator(_sha256), _text_schema(format="SHA-256")]
NodePath = Annotated[str, AfterValidator(_node_path), _text_schema(format="path on the node")]
FilePath = Annotated[str, AfterValidator(_file_path)]
PathField = Annotated[ManifestPath, PlainValidator(_path), _text_schema(format="path")]
VersionField = Annotated[Version, PlainValidator(_version), _text_schema(format="version")]
CapabilityField = Annotated[Capability, PlainValidator(_capability), _text_schema(format="capability")]
ReferenceField = Annotated[Reference, PlainValidator(_reference), _text_schema(format="image reference")]
SizeField = Annotated[int, BeforeValidator(_size), _text_schema(format="size")]
Address = Annotated[str, AfterValidator(_address)]
Extra = dict[Annotated[str, AfterValidator(_argument_name)], JsonValue]
